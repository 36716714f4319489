/** `npm run campaign`: docs/guide/campaign.md says how. */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { MAIN } from '../support/process.js';
import { buildMutant } from './build-mutant.js';
import { Crew } from './crew.js';
import { drawSchedule, type Focus } from './draw.js';
import { huntMerges, runMerges } from './merge/run.js';
import { MUTANTS, type Mutant } from './mutants.js';
import { setPatience } from './patience.js';
import type { Played } from './play.js';
import { Coverage, writeFailure } from './report.js';
import { type Schedule, TOPOLOGIES } from './schedule.js';
import { shrink } from './shrink.js';

/** Schedules within which a mutant must be caught. */
const MUTANT_SCHEDULES = 200;
const SCHEDULES = 40;
/** From this many schedules on, a point that none has hit fails the campaign. */
const ALL_POINTS_FROM = 300;

const { values } = parseArgs({
  options: {
    schedules: { type: 'string' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
    topology: { type: 'string' },
    replay: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    merges: { type: 'string' },
    main: { type: 'string', default: MAIN },
    out: { type: 'string', default: 'campaign-failures' },
    patience: { type: 'string', default: '1' },
    'no-shrink': { type: 'boolean', default: false },
  },
});

setPatience(Number(values.patience));

const topologies = TOPOLOGIES.filter((topology) => topology === values.topology);

const drawn = (seed: number, count: number, focus: Focus = {}): Schedule[] =>
  Array.from({ length: count }, (_, index) =>
    drawSchedule(seed + index, { ...focus, ...(topologies.length > 0 ? { topologies } : {}) }),
  );

function tell({ schedule, violations, hits, seconds }: Played): void {
  const [first] = violations;
  const what = first ? `FAILED ${first.invariant}: wanted ${first.expected}, found ${first.found}` : 'held';
  console.log(
    `seed ${schedule.seed}  ${seconds.toFixed(1)} s  ${hits.join('; ') || 'no fault hit'}  ${what.slice(0, 400)}`,
  );
}

async function runCampaign(crew: Crew, schedules: readonly Schedule[]): Promise<boolean> {
  const coverage = new Coverage();
  const failed: Played[] = [];
  await crew.play(schedules, values.main, (played) => {
    tell(played);
    coverage.add(played);
    if (played.violations.length > 0) failed.push(played);
    return false;
  });
  console.log([`${schedules.length} schedules, ${failed.length} failed`, ...coverage.lines()].join('\n'));
  for (const played of failed) {
    const small = values['no-shrink'] ? null : await shrink(played, (schedule) => crew.playOne(schedule, values.main));
    console.log(`kept in ${await writeFailure(values.out, played, small)}`);
  }
  const mustHitAll = schedules.length >= ALL_POINTS_FROM;
  if (mustHitAll && coverage.missed.length > 0) console.log(`never hit: ${coverage.missed.join(' ')}`);
  return failed.length === 0 && !(mustHitAll && coverage.missed.length > 0);
}

/** Plays until the mutant is caught. @returns how many schedules that took, and the last one */
async function hunt(crew: Crew, mutant: Mutant): Promise<{ readonly count: number; readonly by: Played | undefined }> {
  await using build = await buildMutant(mutant);
  let count = 0;
  let by: Played | undefined;
  const schedules = drawn(Number(values.seed), Number(values.schedules ?? MUTANT_SCHEDULES), mutant.focus);
  await crew.play(schedules, build.main, (played) => {
    if (!by) count += 1;
    if (played.violations.length > 0) by ??= played;
    return by !== undefined;
  });
  return { count, by };
}

const placeOfMerges = (main: string) => ({ seed: Number(values.seed), jobs: Number(values.jobs), main });

/** @returns true when it was caught, by a schedule that holds without the damage */
async function runMutant(crew: Crew, mutant: Mutant): Promise<boolean> {
  if (mutant.isOfMerges) {
    await using build = await buildMutant(mutant);
    const limit = Number(values.schedules ?? MUTANT_SCHEDULES);
    return await huntMerges(mutant.name, limit, placeOfMerges(build.main), values.main);
  }
  const { count, by } = await hunt(crew, mutant);
  const name = mutant.name.padEnd(24);
  const [first] = by?.violations ?? [];
  if (!by || !first) {
    console.log(`${name} NOT caught in ${count} schedules`);
    return false;
  }
  // The same schedule must hold without the damage, or it is the schedule that is wrong.
  const control = await crew.playOne(by.schedule, values.main);
  const isFair = control.violations.length === 0;
  const told = `${first.invariant} wanted ${first.expected.slice(0, 120)}, found ${first.found.slice(0, 120)}`;
  console.log(
    `${name} ${isFair ? 'caught' : 'FAILS WITHOUT DAMAGE, TOO'}: schedule ${count}, seed ${by.schedule.seed}: ${told}`,
  );
  return isFair;
}

async function runMutants(crew: Crew): Promise<boolean> {
  const chosen = MUTANTS.filter(({ name }) => values.mutant === undefined || name === values.mutant);
  if (chosen.length === 0) throw new Error(`wanted one of ${MUTANTS.map(({ name }) => name).join(' ')}`);
  let areCaught = true;
  for (const mutant of chosen) areCaught = (await runMutant(crew, mutant)) && areCaught;
  return areCaught;
}

async function replay(crew: Crew, file: string): Promise<boolean> {
  const played = await crew.playOne(JSON.parse(await readFile(file, 'utf8')) as Schedule, values.main);
  console.log([...played.timeline, ''].join('\n'));
  tell(played);
  return played.violations.length === 0;
}

await using crew = await Crew.start(values.replay === undefined ? Number(values.jobs) : 1);
function asked(): Promise<boolean> {
  if (values.replay !== undefined) return replay(crew, values.replay);
  if (values.merges !== undefined) return runMerges(Number(values.merges), placeOfMerges(values.main));
  if (values.mutants || values.mutant !== undefined) return runMutants(crew);
  return runCampaign(crew, drawn(Number(values.seed), Number(values.schedules ?? SCHEDULES)));
}
process.exitCode = (await asked()) ? 0 : 1;
