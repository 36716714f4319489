/** Plays schedules before the tests of a file, which then say of each how it went. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import { killLeftovers, MAIN } from '../support/process.js';
import { Crew } from './crew.js';
import { drawMerge } from './merge/schedule.js';
import type { Played } from './play.js';
import { Coverage } from './report.js';
import type { Schedule } from './schedule.js';

/** At once: a schedule's processes are idle for a part of their time. */
const WORKERS = 2;

const REGRESSIONS = fileURLToPath(new URL('./regressions/', import.meta.url));

interface Regression {
  readonly name: string;
  readonly schedule: Schedule;
}

/** Schedules that once failed. */
export const regressions = readdirSync(REGRESSIONS)
  .filter((file) => file.endsWith('.json'))
  .map((file): Regression => {
    const { schedule } = JSON.parse(readFileSync(`${REGRESSIONS}${file}`, 'utf8')) as { schedule: Schedule };
    return { name: file.replace('.json', ''), schedule };
  });

export interface Rehearsed {
  /** `held`, or what a person needs to look into it: what broke, and the schedule for --replay. */
  outcomeOf(schedule: Schedule): string;
  /** The same of a schedule of merges, by its seed. */
  outcomeOfMerge(seed: number): string;
}

const toldOf = ({ violations, schedule, timeline }: Played): string =>
  violations.length === 0 ? 'held' : [JSON.stringify(schedule), ...timeline].join('\n');

/** @param limitMs of all of them together, on a slow machine */
export function useRehearsed(
  { schedules, merges }: { readonly schedules: readonly Schedule[]; readonly merges: readonly number[] },
  limitMs: number,
): Rehearsed {
  const outcomes = new Map<Schedule, string>();
  const ofMerges = new Map<number, string>();
  const coverage = new Coverage();

  beforeAll(async () => {
    await using crew = await Crew.start(WORKERS);
    await crew.play(schedules, MAIN, (played) => {
      outcomes.set(played.schedule, toldOf(played));
      coverage.add(played);
      return false;
    });
    await crew.playMerges(merges.map(drawMerge), MAIN, ({ schedule, violations, timeline }) => {
      ofMerges.set(schedule.seed, violations.length === 0 ? 'held' : [...violations, ...timeline].join('\n'));
      return false;
    });
  }, limitMs);

  afterAll(() => {
    killLeftovers();
    console.log(['points and what was done there:', ...coverage.lines()].join('\n'));
  });

  return {
    outcomeOf: (schedule) => outcomes.get(schedule) ?? 'not played',
    outcomeOfMerge: (seed) => ofMerges.get(seed) ?? 'not played',
  };
}
