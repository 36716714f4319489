import { describe, expect, test } from 'vitest';
import { EDGES, type RunDocument } from '../../src/domain/run.js';
import { FAULT_POINTS, type FaultPoint } from '../../src/engine/fault-points.js';
import { finished, runJson, startCommand } from '../support/command.js';
import { brokenInvariants } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

/** Where in the life of a run a point is met, and on which hit the process is killed there. */
type Scenario = { readonly verb: 'run' | 'rollback'; readonly hit: number };

/** Every point of the engine, by name: one that is added there does not compile here without its test. */
const SCENARIOS: Readonly<Record<FaultPoint, Scenario>> = {
  'plan:before-freeze': { verb: 'run', hit: 1 },
  'plan:after-freeze': { verb: 'run', hit: 1 },
  'lease:after-take': { verb: 'run', hit: 1 },
  'sessions:after-kill': { verb: 'run', hit: 1 },
  'chunk:after-claim': { verb: 'run', hit: 1 },
  'batch:before-read': { verb: 'run', hit: 3 },
  'batch:after-read': { verb: 'run', hit: 3 },
  'batch:after-audit': { verb: 'run', hit: 3 },
  'batch:after-checkpoint': { verb: 'run', hit: 3 },
  'batch:after-data': { verb: 'run', hit: 3 },
  'batch:before-commit': { verb: 'run', hit: 3 },
  'batch:after-commit': { verb: 'run', hit: 3 },
  'touched:before-store': { verb: 'run', hit: 1 },
  'touched:after-store': { verb: 'run', hit: 1 },
  'run:before-transition': { verb: 'run', hit: 2 },
  'run:after-transition': { verb: 'run', hit: 2 },
  'verify:before-verdict': { verb: 'run', hit: 1 },
  'rollback:before-read': { verb: 'rollback', hit: 3 },
  'rollback:after-read': { verb: 'rollback', hit: 3 },
  'rollback:after-audit': { verb: 'rollback', hit: 3 },
  'rollback:after-checkpoint': { verb: 'rollback', hit: 3 },
  'rollback:after-data': { verb: 'rollback', hit: 3 },
  'rollback:before-commit': { verb: 'rollback', hit: 3 },
  'rollback:after-commit': { verb: 'rollback', hit: 3 },
};

describe('a process killed at', () => {
  const { db, uri } = useDatabase('points');
  const people = db.collection<{ _id: number; n: number; mark?: string }>('people');
  const BATCH = ['--batch-size', '40'];

  /** Every stored transition is an edge of the table, and begins where the one before ended. */
  async function brokenHistory(): Promise<string[]> {
    const broken: string[] = [];
    for (const { history, state } of await db.collection<RunDocument>('migrations').find().toArray()) {
      let at: string | null = null;
      for (const { from, to } of history) {
        if (from !== at) broken.push(`${from} -> ${to} after ${at}`);
        if (from !== null && !EDGES.some((edge) => edge.from === from && edge.to === to))
          broken.push(`${from} -> ${to} is no edge`);
        at = to;
      }
      if (at !== state) broken.push(`state ${state} after ${at}`);
    }
    return broken;
  }

  test.each(FAULT_POINTS.map((point) => [point, SCENARIOS[point]] as const))(
    '%s goes on as if it had lived',
    async (point, { verb, hit }) => {
      await people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id, n: _id })));
      const before = await dataHash(db);
      // A mark that shows when a document was changed twice.
      const cwd = await makeMigration("(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)");
      if (verb === 'rollback') expect((await runJson(['run', 'm1', ...BATCH], { cwd, uri })).code).toBe(0);

      const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:${hit}:kill` };
      const args = verb === 'run' ? ['run', 'm1', ...BATCH] : ['rollback', 'm1'];
      const child = startCommand([...args, '--progress', 'none'], { cwd, uri, env });
      const end = finished(child);
      if (point.startsWith('touched:')) await touchUntil(end);
      expect((await end).signal).toBe('SIGKILL');

      const resumed = await runJson(args, { cwd, uri });
      expect([resumed.code, resumed.json['error'] ?? null]).toEqual([0, null]);
      expect(await brokenInvariants(db)).toEqual([]);
      expect(await brokenHistory()).toEqual([]);
      if (verb === 'run') {
        expect(resumed.json).toMatchObject({ state: 'completed' });
        expect(await people.countDocuments({ mark: 'x' })).toBe(await people.countDocuments());
        expect((await runJson(['rollback', 'm1'], { cwd, uri })).json).toMatchObject({ conflicts: 0 });
      }
      expect(await people.countDocuments({ mark: { $exists: true } })).toBe(0);
      if (!point.startsWith('touched:')) expect(await dataHash(db)).toEqual(before);
    },
  );

  /** Writes as an application would, so that the change stream has something to tell, until the process is dead. */
  async function touchUntil(end: Promise<unknown>): Promise<void> {
    let isOver = false;
    void end.then(() => {
      isOver = true;
    });
    for (let n = 0; !isOver; n += 1) await people.updateOne({ _id: n % 200 }, { $inc: { n: 1 } });
  }
});
