/** Makes a failing schedule smaller, one step after the other, as long as the same invariant breaks. */
import type { Played } from './play.js';
import type { Fault, Schedule } from './schedule.js';

/** Plays a schedule. */
export type Player = (schedule: Schedule) => Promise<Played>;

const TRIES = 5;
/** As often of TRIES makes a failure a steady one. */
const STEADY = 3;
const LONGEST_MS = 10 * 60_000;

const isBroken = (played: Played, invariant: string): boolean =>
  played.violations.some((violation) => violation.invariant === invariant);

/** Plays it until it fails, `tries` times at most. */
async function failing(player: Player, schedule: Schedule, invariant: string, tries: number): Promise<Played | null> {
  for (let count = 0; count < tries; count += 1) {
    const played = await player(schedule);
    if (isBroken(played, invariant)) return played;
  }
  return null;
}

const withCollection = (schedule: Schedule, change: Partial<Schedule['collection']>): Schedule => ({
  ...schedule,
  collection: { ...schedule.collection, ...change },
});

const withMigration = (schedule: Schedule, change: Partial<Schedule['migration']>): Schedule => ({
  ...schedule,
  migration: { ...schedule.migration, ...change },
});

const withSettings = (schedule: Schedule, change: Partial<Schedule['settings']>): Schedule => ({
  ...schedule,
  settings: { ...schedule.settings, ...change },
});

const firstHit = (fault: Fault): Fault =>
  'at' in fault && fault.at.hit > 1 ? { ...fault, at: { ...fault.at, hit: 1 } } : fault;

/** Everything that is a step simpler, in the order in which it is tried. */
export function simpler(schedule: Schedule): Schedule[] {
  const { faults, load, collection, settings } = schedule;
  const candidates: Schedule[] = [
    ...faults.map((_, at) => ({ ...schedule, faults: faults.filter((_fault, index) => index !== at) })),
    { ...schedule, load: { ...load, kind: 'none' } },
    { ...schedule, load: { ...load, writes: Math.ceil(load.writes / 2) } },
    withSettings(schedule, { workers: 1 }),
    { ...schedule, ending: 'complete' },
    withCollection(schedule, { docs: Math.floor(collection.docs / 2) }),
    withCollection(schedule, { docs: Math.max(0, collection.docs - 1) }),
    withCollection(schedule, { ids: 'int' }),
    withCollection(schedule, { fields: 'plain' }),
    withCollection(schedule, { rule: 'none' }),
    withCollection(schedule, { shape: 'ordinary' }),
    withMigration(schedule, { lookup: false, down: false, badPercent: 0 }),
    withSettings(schedule, { batchSize: Math.max(1, Math.floor(settings.batchSize / 2)) }),
    { ...schedule, faults: faults.map(firstHit) },
  ];
  const known = JSON.stringify(schedule);
  return candidates.filter((candidate) => JSON.stringify(candidate) !== known);
}

export interface Shrunk {
  readonly played: Played;
  readonly invariant: string;
  readonly isSteady: boolean;
}

/** @param first the schedule as it failed */
export async function shrink(first: Played, player: Player): Promise<Shrunk> {
  const invariant = first.violations[0]?.invariant ?? '';
  let again = 0;
  for (let count = 0; count < TRIES; count += 1) if (isBroken(await player(first.schedule), invariant)) again += 1;
  const isSteady = again >= STEADY;
  const deadline = performance.now() + LONGEST_MS;
  let best = first;
  for (let isSmaller = true; isSmaller; ) {
    isSmaller = false;
    for (const candidate of simpler(best.schedule)) {
      if (performance.now() > deadline || (again === 0 && !isSteady)) return { played: best, invariant, isSteady };
      const played = await failing(player, candidate, invariant, isSteady ? 1 : TRIES);
      if (!played) continue;
      best = played;
      isSmaller = true;
      break;
    }
  }
  return { played: best, invariant, isSteady };
}
