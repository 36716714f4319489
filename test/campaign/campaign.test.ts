/**
 * Eight schedules of the campaign with fixed seeds, two of merges, and those that once failed. More of them, and the
 * mutants, are in the long tier; the long one is `npm run campaign` (docs/guide/campaign.md).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { buildMutant } from './build-mutant.js';
import { drawSchedule } from './draw.js';
import { MUTANT_TESTS } from './mutant-tests.js';
import { MUTANTS } from './mutants.js';
import { QUICK, QUICK_FAULTS } from './quick.js';
import { regressions, useRehearsed } from './rehearsal.js';
import { simpler } from './shrink.js';

/** Chosen so that together they have every kind of fault of quick schedules, and every ending of a run that ends. */
const SEEDS = [20, 25, 35, 41, 43, 49, 54, 118];
/** Beside an application that edits, inserts and deletes, with kills; one stays, one goes back. */
const MERGES = [5, 6];
const LONGEST_MS = 600_000;

const drawn = new Map(SEEDS.map((seed) => [seed, drawSchedule(seed, QUICK)]));
const schedules = [...drawn.values()];

const { outcomeOf, outcomeOfMerge } = useRehearsed(
  { schedules: [...regressions.map(({ schedule }) => schedule), ...schedules], merges: MERGES },
  LONGEST_MS,
);

/** Everything that the oracle looks at, from the bytes of the documents to the sums. */
function holds(seed: number): void {
  const schedule = drawn.get(seed);
  expect(schedule && outcomeOf(schedule)).toBe('held');
}

describe('a schedule of faults breaks no invariant', () => {
  test('killed after a takeover, rolled back in between, beside inserts', { tags: ['P2', 'P3', 'P7'] }, () => {
    holds(20);
  });

  test('killed at its plan, an exception in a batch, a killed rollback: everything as it was', {
    tags: ['P3', 'P5', 'P6'],
  }, () => {
    holds(25);
  });

  test('a validator that comes in mid-run, beside one hot document, and a killed rollback', { tags: ['P2'] }, () => {
    holds(35);
  });

  test('interrupted, back by a killed rollback, and forwards once more, beside edits', {
    tags: ['P2', 'P3', 'P6'],
  }, () => {
    holds(41);
  });

  test('statements that fail forwards and backwards, beside edits', { tags: ['P2', 'P6'] }, () => {
    holds(43);
  });

  test('state that comes back from an older backup', { tags: ['P7'] }, () => {
    holds(49);
  });

  test('a second runner beside the first, a rollback told to stop, beside inserts', {
    tags: ['P2', 'P4', 'P6'],
  }, () => {
    holds(54);
  });

  test('stopped past its lease and woken while another is at work, beside edits', {
    tags: ['P2', 'P4', 'P5', 'P7'],
  }, () => {
    holds(118);
  });
});

test.each(regressions.map(({ name, schedule }) => [name, schedule] as const))(
  'a schedule that once failed holds: %s',
  (_, schedule) => {
    expect(outcomeOf(schedule)).toBe('held');
  },
);

describe('what is drawn', () => {
  test('has every kind of fault of quick schedules among the fixed seeds, and every ending of a run that ends', () => {
    const kinds = new Set(schedules.flatMap(({ faults }) => faults.map(({ kind }) => kind)));
    expect([...kinds].sort()).toEqual([...QUICK_FAULTS].sort());
    const endings = new Set(schedules.map(({ ending }) => ending));
    expect([...endings].sort()).toEqual(['complete', 'rollback', 'rollback-killed', 'run-rollback-run']);
  });

  test('is the same whenever its seed is drawn, and goes through JSON unchanged', () => {
    expect(SEEDS.map((seed) => drawSchedule(seed, QUICK))).toEqual(schedules);
    expect(JSON.parse(JSON.stringify(schedules))).toEqual(schedules);
  });

  test('is made simpler step by step, until nothing is left to take away', () => {
    let schedule = drawSchedule(7);
    let steps = 0;
    for (let next = simpler(schedule)[0]; next; next = simpler(schedule)[0]) {
      schedule = next;
      steps += 1;
      expect(steps).toBeLessThan(200);
    }
    expect(schedule).toMatchObject({
      faults: [],
      load: { kind: 'none' },
      settings: { workers: 1 },
      collection: { docs: 0, ids: 'int' },
    });
  });
});

describe('a schedule of a merge', () => {
  test.each(MERGES)('%i makes one of everybody, and goes back', { tags: ['P2', 'P3'] }, (seed) => {
    expect(outcomeOfMerge(seed)).toBe('held');
  });
});

describe('a mutant of the engine', () => {
  test.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
    '%s has a name of its own, edits, and a test that hunts it',
    (name, mutant) => {
      expect(MUTANTS.filter((other) => other.name === name)).toEqual([mutant]);
      expect(mutant.edits.length).toBeGreaterThan(0);
      expect(MUTANT_TESTS.filter((entry) => entry.mutant === name)).toHaveLength(1);
    },
  );

  test('whose text is not in the engine is refused', async () => {
    const edits = [{ file: 'engine/run.ts', find: 'nobody wrote this', replace: '' }];
    await expect(buildMutant({ name: 'none', edits, focus: {}, seeds: [1] })).rejects.toThrow('found it 0 times');
  });

  // Checked here, too, so that a change of the engine that loses a mutant is seen by `npm test`.
  test.each(MUTANTS.flatMap(({ name, edits }) => edits.map((edit) => [name, edit] as const)))(
    '%s finds its text exactly once',
    (_, { file, find }) => {
      const text = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');
      expect(text.split(find).length - 1).toBe(1);
    },
  );
});
