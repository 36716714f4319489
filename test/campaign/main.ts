/** `npm run campaign`: docs/guide/campaign.md says how. */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { MAIN } from '../support/process.js';
import { Crew } from './crew.js';
import { drawSchedule } from './draw.js';
import { hunt } from './hunt.js';
import { runMerges } from './merge/run.js';
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
    seed: { type: 'string' },
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

const restricted = topologies.length > 0 ? { topologies } : {};
const firstSeed = Number(values.seed ?? 1);

const drawn = (count: number): Schedule[] =>
  Array.from({ length: count }, (_, index) => drawSchedule(firstSeed + index, restricted));

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

/** @returns true when it was caught, by a schedule that holds without the damage */
async function runMutant(crew: Crew, mutant: Mutant): Promise<boolean> {
  const startedAt = performance.now();
  const { count, caught } = await hunt(
    { ...mutant, focus: { ...mutant.focus, ...restricted } },
    {
      crew,
      seeds: values.seed === undefined ? mutant.seeds : [Number(values.seed)],
      limit: Number(values.schedules ?? MUTANT_SCHEDULES),
      healthy: values.main,
    },
  );
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
  const what = !caught ? 'NOT caught' : caught.isFair ? 'caught' : 'FAILS WITHOUT DAMAGE, TOO';
  const by = caught ? `, seed ${caught.seed}: ${caught.violation}` : '';
  console.log(`${mutant.name.padEnd(24)} ${what}: schedule ${count}, ${seconds} s${by}`);
  return caught?.isFair === true;
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
  if (values.merges !== undefined)
    return runMerges(crew, Number(values.merges), { seed: firstSeed, main: values.main });
  if (values.mutants || values.mutant !== undefined) return runMutants(crew);
  return runCampaign(crew, drawn(Number(values.schedules ?? SCHEDULES)));
}
process.exitCode = (await asked()) ? 0 : 1;
