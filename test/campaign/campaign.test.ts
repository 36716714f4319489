/**
 * A few schedules of the campaign with fixed seeds, and those that once failed. The long one is `npm run campaign`
 * (docs/guide/campaign.md).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { killLeftovers, MAIN } from '../support/process.js';
import { buildMutant } from './build-mutant.js';
import { Crew } from './crew.js';
import { drawSchedule, type Focus } from './draw.js';
import { playMerge } from './merge/play.js';
import { drawMerge } from './merge/schedule.js';
import { MUTANTS } from './mutants.js';
import type { Played } from './play.js';
import { Coverage } from './report.js';
import type { Schedule } from './schedule.js';
import { CampaignServer } from './server.js';
import { simpler } from './shrink.js';

/** At once: a schedule's processes are idle for a part of their time. */
const WORKERS = 2;
const FIRST_SEED = 1;
const COUNT = 20;
/** Small enough that a schedule takes seconds: the long campaign has the large ones. */
const QUICK: Focus = {
  maxDocs: 120,
  maxFaults: 2,
  faults: ['kill', 'stop', 'signal', 'throw', 'fail-command', 'state', 'second', 'rollback', 'ddl'],
};
const LONGEST_MS = 300_000;

const REGRESSIONS = fileURLToPath(new URL('./regressions/', import.meta.url));

interface Regression {
  readonly name: string;
  readonly schedule: Schedule;
}

const regressions = readdirSync(REGRESSIONS)
  .filter((file) => file.endsWith('.json'))
  .map((file): Regression => {
    const { schedule } = JSON.parse(readFileSync(`${REGRESSIONS}${file}`, 'utf8')) as { schedule: Schedule };
    return { name: file.replace('.json', ''), schedule };
  });

const drawn = Array.from({ length: COUNT }, (_, index) => drawSchedule(FIRST_SEED + index, QUICK));

/** What a person needs to look into it: what broke, and the schedule for --replay. */
const toldOf = ({ violations, schedule, timeline }: Played): string =>
  violations.length === 0 ? 'held' : [JSON.stringify(schedule), ...timeline].join('\n');

describe('a schedule of faults', () => {
  const played = new Map<Schedule, Played>();

  beforeAll(async () => {
    await using crew = await Crew.start(WORKERS);
    const all = [...regressions.map(({ schedule }) => schedule), ...drawn];
    await crew.play(all, MAIN, (one) => {
      played.set(one.schedule, one);
      return false;
    });
  }, LONGEST_MS);

  afterAll(() => {
    killLeftovers();
    const coverage = new Coverage();
    for (const one of played.values()) coverage.add(one);
    console.log(['points and what was done there:', ...coverage.lines()].join('\n'));
  });

  const outcomeOf = (schedule: Schedule): string => {
    const one = played.get(schedule);
    return one ? toldOf(one) : 'not played';
  };

  test.each(drawn.map((schedule) => [schedule.seed, schedule] as const))(
    'of seed %i breaks no invariant',
    (_, schedule) => {
      expect(outcomeOf(schedule)).toBe('held');
    },
  );

  test.each(regressions.map(({ name, schedule }) => [name, schedule] as const))(
    'that once failed holds: %s',
    (_, schedule) => {
      expect(outcomeOf(schedule)).toBe('held');
    },
  );

  test('is the same whenever its seed is drawn, and goes through JSON unchanged', () => {
    const [first] = drawn;
    expect(drawSchedule(FIRST_SEED, QUICK)).toEqual(first);
    expect(JSON.parse(JSON.stringify(drawn))).toEqual(drawn);
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
  let server: CampaignServer;
  beforeAll(async () => {
    server = await CampaignServer.start('one-node');
  });
  afterAll(() => server.stop());

  test.each([1, 2, 3, 4, 5])(
    '%i makes one of everybody, and goes back',
    async (seed) => {
      const { violations, timeline } = await playMerge(drawMerge(seed), { server, main: MAIN });
      expect(violations, timeline.join('\n')).toEqual([]);
    },
    LONGEST_MS,
  );
});

describe('a mutant of the engine', () => {
  test.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
    '%s has a name of its own and edits',
    (name, mutant) => {
      expect(MUTANTS.filter((other) => other.name === name)).toEqual([mutant]);
      expect(mutant.edits.length).toBeGreaterThan(0);
    },
  );

  test('whose text is not in the engine is refused', async () => {
    const edits = [{ file: 'engine/run.ts', find: 'nobody wrote this', replace: '' }];
    await expect(buildMutant({ name: 'none', edits, focus: {} })).rejects.toThrow('found it 0 times');
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
