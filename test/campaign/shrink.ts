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

/** Ways to make a schedule simpler, in the order in which they are tried; each as often as it helps. */
const STEPS: readonly ((schedule: Schedule) => readonly Schedule[])[] = [
  (schedule) =>
    schedule.faults.map((_, at) => ({ ...schedule, faults: schedule.faults.filter((_fault, index) => index !== at) })),
  (schedule) => [{ ...schedule, load: { ...schedule.load, kind: 'none' } }],
  (schedule) => [{ ...schedule, load: { ...schedule.load, teamWrites: 0 } }],
  (schedule) => [{ ...schedule, load: { ...schedule.load, writes: Math.ceil(schedule.load.writes / 2) } }],
  (schedule) => [withSettings(schedule, { workers: 1 })],
  (schedule) => [{ ...schedule, ending: 'complete' }],
  (schedule) => [withCollection(schedule, { docs: Math.floor(schedule.collection.docs / 2) })],
  (schedule) => [withCollection(schedule, { docs: Math.max(0, schedule.collection.docs - 1) })],
  (schedule) => [withCollection(schedule, { ids: 'int' })],
  (schedule) => [withCollection(schedule, { fields: 'plain' })],
  (schedule) => [withCollection(schedule, { rule: 'none' })],
  (schedule) => [withCollection(schedule, { shape: 'ordinary' })],
  (schedule) => [withMigration(schedule, { lookup: false, down: false, badPercent: 0 })],
  (schedule) => [withSettings(schedule, { batchSize: Math.max(1, Math.floor(schedule.settings.batchSize / 2)) })],
  (schedule) => [{ ...schedule, faults: schedule.faults.map(firstHit) }],
];

function candidates(step: (typeof STEPS)[number], schedule: Schedule): Schedule[] {
  const known = JSON.stringify(schedule);
  return step(schedule).filter((candidate) => JSON.stringify(candidate) !== known);
}

/** Everything that is a step simpler. */
export const simpler = (schedule: Schedule): Schedule[] => STEPS.flatMap((step) => candidates(step, schedule));

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
  // One that never fails again can't be judged by what is left away.
  if (again === 0) return { played: first, invariant, isSteady };
  const deadline = performance.now() + LONGEST_MS;
  const tryOne = (schedule: Schedule): Promise<Played | null> =>
    performance.now() > deadline ? Promise.resolve(null) : failing(player, schedule, invariant, isSteady ? 1 : TRIES);
  let best = first;
  for (let before: Played | undefined; before !== best; ) {
    before = best;
    for (const step of STEPS) best = await asOftenAsItHelps(step, best, tryOne);
  }
  return { played: best, invariant, isSteady };
}

async function asOftenAsItHelps(
  step: (typeof STEPS)[number],
  first: Played,
  tryOne: (schedule: Schedule) => Promise<Played | null>,
): Promise<Played> {
  let best = first;
  for (let smaller: Played | null = first; smaller; ) {
    best = smaller;
    smaller = null;
    for (const candidate of candidates(step, best.schedule)) smaller ??= await tryOne(candidate);
  }
  return best;
}
