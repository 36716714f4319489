import { afterAll, describe, expect, test } from 'vitest';
import { runJson } from '../support/command.js';
import { brokenInvariants, until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { isStopped, killSentinelsOf, openTransactions } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

/** Well below the 60 to 90 s that the server needs to end an orphan by itself. */
const LONGEST_WAIT_MS = 15_000;

describe('a document held by an orphan', () => {
  const { client, db, uri } = useDatabase('orphan');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; mark?: string; n?: number }>('people');

  /** Updates that the server has tried, and tries again until who holds their document is gone. */
  async function waiting(): Promise<number> {
    const found = await client
      .db('admin')
      .aggregate([
        { $currentOp: {} },
        { $match: { ns: `${db.databaseName}.people`, op: 'update', writeConflicts: { $gt: 0 } } },
      ])
      .toArray();
    return found.length;
  }

  test.each(['run', 'rollback'] as const)(
    'is freed by the next %s, and the write that waited is kept',
    { tags: ['F04', 'P2', 'P12'] },
    async (verb) => {
      await people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id })));
      const cwd = await makeMigration("(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)");
      const args = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--progress', 'none'];
      const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-data:2:stop' };
      const orphan = startCommand(args, { cwd, uri, env });
      const end = finished(orphan);
      await until(() => isStopped(orphan.pid));
      // The sentinel dies first: with it alive nobody would wait (sentinel.test.ts).
      killSentinelsOf(orphan.pid);
      orphan.kill('SIGKILL');
      expect((await end).signal).toBe('SIGKILL');
      expect(await openTransactions(db)).toBe(1);

      let isWritten = false;
      const write = people.updateOne({ _id: 30 }, { $set: { n: 1 } }).then(() => {
        isWritten = true;
      });
      await until(async () => (await waiting()) > 0);
      expect(isWritten).toBe(false);

      const startedAt = performance.now();
      const next = runJson([verb, 'm1'], { cwd, uri });
      await write;
      expect(performance.now() - startedAt).toBeLessThan(LONGEST_WAIT_MS);
      expect((await next).json).toMatchObject({ state: verb === 'run' ? 'completed' : 'rolled-back' });
      expect(await openTransactions(db)).toBe(0);
      expect(await brokenInvariants(db)).toEqual([]);
      expect(await people.countDocuments({ mark: 'x' })).toBe(verb === 'run' ? 200 : 0);
      expect(await people.countDocuments({ _id: 30, n: 1 })).toBe(1);
    },
  );
});
