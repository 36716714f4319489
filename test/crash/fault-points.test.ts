import { beforeAll, describe, expect, test } from 'vitest';
import { FAULT_POINTS, type FaultPoint } from '../../src/engine/fault-points.js';
import { runJson } from '../support/command.js';
import { audited, brokenInvariants } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { auditEntries, brokenHistory, brokenSums } from '../support/observe.js';
import { finished, startCommand } from '../support/process.js';
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

const COUNT = 200;
const BATCH = ['--batch-size', '20'];
/** A mark that shows when a document was changed twice. */
const UP = "(doc) => ({ ...doc, mark: (doc.mark ?? '') + (doc.mark === 'x' ? '' : 'x') })";

describe('a process killed at', () => {
  const { db, uri } = useDatabase('points');
  const people = db.collection<{ _id: number; n: number; mark?: string }>('people');

  const fill = (): Promise<unknown> =>
    people.insertMany(Array.from({ length: COUNT }, (_, _id) => ({ _id, n: _id, tail: { deep: [_id] } })));

  /** What an undisturbed run leaves. */
  let twin: { readonly hash: Record<string, string>; readonly entries: readonly string[] };
  beforeAll(async () => {
    await fill();
    expect((await runJson(['run', 'm1', ...BATCH], { cwd: await makeMigration(UP), uri })).code).toBe(0);
    twin = { hash: await dataHash(db), entries: await auditEntries(db) };
  });

  const expectWhole = async (): Promise<void> =>
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);

  test.each(FAULT_POINTS.map((point) => [point, SCENARIOS[point]] as const))(
    '%s goes on as if it had lived',
    async (point, { verb, hit }) => {
      await fill();
      const before = await dataHash(db);
      const cwd = await makeMigration(UP);
      if (verb === 'rollback') expect((await runJson(['run', 'm1', ...BATCH], { cwd, uri })).code).toBe(0);

      const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:${hit}:kill` };
      const args = verb === 'run' ? ['run', 'm1', ...BATCH] : ['rollback', 'm1'];
      const end = finished(startCommand([...args, '--progress', 'none'], { cwd, uri, env }));
      const isTouched = point.startsWith('touched:');
      const written = isTouched ? await writeUntil(end) : 0;
      expect((await end).signal).toBe('SIGKILL');

      const resumed = await runJson(args, { cwd, uri });
      expect([resumed.code, resumed.json['error'] ?? null]).toEqual([0, null]);
      await expectWhole();
      if (verb === 'run') {
        expect(resumed.json).toMatchObject({ state: 'completed' });
        expect(await people.countDocuments({ mark: 'x' })).toBe(COUNT);
        if (!isTouched) expect([await dataHash(db), await auditEntries(db)]).toEqual([twin.hash, twin.entries]);
        expect((await runJson(['rollback', 'm1'], { cwd, uri })).json).toMatchObject({ conflicts: 0 });
      }
      expect(await audited(db, 'down')).toBe(await audited(db, 'up'));
      expect(await people.countDocuments({ mark: { $exists: true } })).toBe(0);
      // What the application wrote meanwhile is there, each increment once.
      expect(await sumOfN()).toBe((COUNT * (COUNT - 1)) / 2 + written);
      if (!isTouched) expect(await dataHash(db)).toEqual(before);
    },
  );

  /** Writes as an application would, until the process is dead. @returns how many increments were acknowledged */
  async function writeUntil(end: Promise<unknown>): Promise<number> {
    let isOver = false;
    void end.then(() => {
      isOver = true;
    });
    let written = 0;
    for (; !isOver; written += 1) await people.updateOne({ _id: written % COUNT }, { $inc: { n: 1 } });
    return written;
  }

  async function sumOfN(): Promise<number> {
    const [sum] = await people.aggregate<{ n: number }>([{ $group: { _id: null, n: { $sum: '$n' } } }]).toArray();
    return sum?.n ?? 0;
  }
});
