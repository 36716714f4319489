import { describe, expect, test } from 'vitest';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession, type Session } from '../../src/verbs/session.js';
import { statusWithReadiness } from '../../src/verbs/status.js';
import { runCommand } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

const LOWER = '(doc) => (doc.v === 2 ? doc : { ...doc, mail: doc.mail.toLowerCase(), v: 2 })';

describe('the readiness to roll back', () => {
  const { db, uri } = useDatabase('ready');
  const people = db.collection<{ _id: number; mail: string; v?: number; note?: string }>('people');

  async function ran(count: number, work: (session: Session, cwd: string) => Promise<void>): Promise<void> {
    await people.insertMany(Array.from({ length: count }, (_, _id) => ({ _id, mail: `P${_id}@X.test` })));
    const cwd = await makeMigration(LOWER);
    const session = await openSession({ cwd, uri });
    try {
      await startRun(session, 'm1', { batchSize: 500 }).result;
      await work(session, cwd);
    } finally {
      await closeSession(session);
    }
  }

  test('of a small run is counted whole, is what a rollback then does, and is told by status', async () => {
    await ran(100, async (session, cwd) => {
      await people.updateOne({ _id: 0 }, { $set: { note: 'kept' } });
      await people.updateOne({ _id: 1 }, { $set: { mail: 'third@x.test' } });
      await people.deleteOne({ _id: 2 });
      await people.insertOne({ _id: 500, mail: 'new@x.test', v: 2 });
      const { rollbackReadiness: ready } = await statusWithReadiness(session, 'm1');
      expect(ready).toMatchObject({ sampled: 100, of: 100, exactly: 97, keptFields: 1, conflicts: 1, goneSince: 1 });
      expect(ready?.noBefore).toBe(1);
      const { stdout } = await runCommand(['status', 'm1'], { cwd, uri });
      expect(stdout.replaceAll(/\s+/g, ' ')).toContain(
        'way back 97 exactly, 1 with later edits kept, 1 gone since, 1 in conflict, 1 inserted since',
      );
      const back = await startRollback(session, 'm1').result;
      expect([back.restored, back.keptFields, back.conflicts, back.noBefore]).toEqual([97, 1, 1, 1]);
      expect(back.documents.map(({ id, result }) => [id.text(true), result]).sort()).toEqual([
        ['0', 'keptFields'],
        ['1', 'conflict'],
        ['2', 'goneSince'],
        ['500', 'noBefore'],
      ]);
      expect((await statusWithReadiness(session, 'm1')).rollbackReadiness).toBeNull();
    });
  });

  test('of a large run is told by some of its batches, and says so', async () => {
    await ran(8_000, async (session, cwd) => {
      await people.updateMany({}, { $set: { note: 'kept' } });
      const { rollbackReadiness: ready } = await statusWithReadiness(session, 'm1');
      expect(ready?.of).toBe(8_000);
      expect(ready?.sampled).toBeGreaterThan(1_000);
      expect(ready?.sampled).toBeLessThan(5_000);
      expect([ready?.exactly, ready?.keptFields, ready?.noBefore]).toEqual([0, ready?.sampled, null]);
      const { stdout } = await runCommand(['status', 'm1'], { cwd, uri });
      expect(stdout.replaceAll(/\s+/g, ' ')).toContain('looked at, 8,000 changed)');
    });
  });

  test('is unknown when the collection is another one', async () => {
    await ran(10, async (session) => {
      await people.drop();
      await people.insertOne({ _id: 1, mail: 'x' });
      const { rollbackReadiness: ready } = await statusWithReadiness(session, 'm1');
      expect(ready?.unknownBecause).toContain('another one now');
    });
  });
});
