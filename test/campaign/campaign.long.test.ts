/** Forty schedules of the campaign with fixed seeds, and twenty of merges. */
import { expect, test } from 'vitest';
import { drawSchedule } from './draw.js';
import { QUICK } from './quick.js';
import { useRehearsed } from './rehearsal.js';

/** So many of quick ones, and so many of the whole grammar, with its three topologies. */
const COUNT = 20;
const SEEDS = Array.from({ length: COUNT }, (_, index) => 1 + index);
const LONGEST_MS = 3_600_000;

const quick = SEEDS.map((seed) => drawSchedule(seed, QUICK));
const whole = SEEDS.map((seed) => drawSchedule(seed));
const { outcomeOf, outcomeOfMerge } = useRehearsed({ schedules: [...quick, ...whole], merges: SEEDS }, LONGEST_MS);

test.each(quick.map((schedule) => [schedule.seed, schedule] as const))(
  'a quick schedule of seed %i breaks no invariant',
  (_, schedule) => {
    expect(outcomeOf(schedule)).toBe('held');
  },
);

test.each(whole.map((schedule) => [schedule.seed, schedule] as const))(
  'a schedule of the whole grammar of seed %i breaks no invariant',
  (_, schedule) => {
    expect(outcomeOf(schedule)).toBe('held');
  },
);

test.each(SEEDS)('a schedule of merges of seed %i makes one of everybody, and goes back', (seed) => {
  expect(outcomeOfMerge(seed)).toBe('held');
});
