import type { Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { onFaultPoint } from '../../src/engine/fault-points.js';
import { audit } from '../../src/verbs/audit.js';
import { dryRun } from '../../src/verbs/dry-run.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { type RunOptions, type RunResult, startRun } from '../../src/verbs/run.js';
import { closeSession, openSession, type Session } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

interface Person extends Document {
  _id: number;
  mail: string;
}

const UP = '(doc) => (doc.v === 2 ? doc : { ...doc, mail: doc.mail.toLowerCase(), v: 2 })';
const COUNT = 500;

describe('documents written in the old shape behind the cursor of a run', () => {
  const { db, uri } = useDatabase('strays');
  const people = db.collection<Person>('people');

  /** Even numbers, so that there is room between them. */
  const fill = (): Promise<unknown> =>
    people.insertMany(Array.from({ length: COUNT }, (_, n) => ({ _id: 2 * n, mail: `P${n}@X.test` })));

  async function withSession(options: string, work: (session: Session) => Promise<void>): Promise<void> {
    const session = await openSession({ cwd: await makeMigration(UP, options), uri });
    try {
      await work(session);
    } finally {
      await closeSession(session);
    }
  }

  /** Runs, and holds the worker that has committed the first batch while `write` goes on. */
  async function runBeside(session: Session, options: RunOptions, write: () => Promise<void>): Promise<RunResult> {
    let writing: Promise<void> | undefined;
    onFaultPoint(async (point) => {
      if (point !== 'batch:after-commit' || writing) return;
      writing = write();
      await writing;
    });
    try {
      return await startRun(session, 'm1', { batchSize: 25, ...options }).result;
    } finally {
      onFaultPoint(undefined);
      expect(writing, 'the application wrote').toBeDefined();
      await writing;
    }
  }

  const oldShape = (): Promise<number> => people.countDocuments({ v: { $ne: 2 } });

  test.each([
    ['one worker', "collection: 'people'", 1],
    ['three workers', "collection: 'people'", 3],
    ['a filter', "collection: 'people', filter: { v: { $ne: 2 } }", 1],
  ])(
    'end migrated, audited, and go back to what was written: %s',
    { tags: ['F47', 'F48', 'P2', 'P7'] },
    async (_what, options, workers) => {
      await fill();
      await withSession(options, async (session) => {
        const result = await runBeside(session, { workers }, async () => {
          // Whichever worker's batch came first: the cursor is past the documents that are written now.
          await until(async () => (await people.countDocuments({ _id: { $lte: 8 }, v: 2 })) === 5);
          await people.insertMany([1, 3, -5, 99_999].map((_id) => ({ _id, mail: `NEW${_id}@X.test` })));
          await people.replaceOne({ _id: 0 }, { mail: 'SAVED@X.test', note: 'saved' });
          await people.replaceOne({ _id: 2 }, { mail: 'P1@X.test', note: 'saved, same mail' });
          await people.updateOne({ _id: 4 }, { $set: { note: 'edited' } });
          await people.deleteOne({ _id: 6 });
        });
        expect(result).toMatchObject({ state: 'completed', failed: 0 });
        expect(await oldShape()).toBe(0);
        expect((await verify(session, 'm1', { full: true })).checks.filter(({ ok }) => !ok)).toEqual([]);
        expect((await dryRun(session, 'm1')).report).toMatchObject({ wouldChange: 0, wouldFail: 0 });
        for (const doc of ['1', '-5', '99999', '0'])
          expect((await audit(session, 'm1', { doc })).entries.length, `audit of ${doc}`).toBeGreaterThan(0);

        const {
          state: _state,
          dryRun: _dry,
          seconds: _s,
          ...predicted
        } = await startRollback(session, 'm1', {
          dryRun: true,
        }).result;
        const back = await startRollback(session, 'm1').result;
        expect(JSON.parse(JSON.stringify(back))).toMatchObject(JSON.parse(JSON.stringify(predicted)));
        // 0 was saved with another mail: the application's, so it is kept and listed. 6 is gone.
        expect(back).toMatchObject({ goneSince: 1, conflicts: 1, noBefore: 0, identical: false });
        expect(back.conflictList.map(({ id, fields }) => [Number(id.value), fields])).toEqual([[0, ['mail']]]);
        const ids = [-5, 0, 1, 2, 3, 4, 6, 8, 99_999];
        expect(await people.find({ _id: { $in: ids } }, { sort: { _id: 1 } }).toArray()).toEqual([
          { _id: -5, mail: 'NEW-5@X.test' },
          { _id: 0, mail: 'SAVED@X.test', note: 'saved' },
          { _id: 1, mail: 'NEW1@X.test' },
          { _id: 2, mail: 'P1@X.test', note: 'saved, same mail' },
          { _id: 3, mail: 'NEW3@X.test' },
          { _id: 4, mail: 'P2@X.test', note: 'edited' },
          { _id: 8, mail: 'P4@X.test' },
          { _id: 99_999, mail: 'NEW99999@X.test' },
        ]);
        expect(await people.countDocuments({ v: { $exists: true } })).toBe(0);
      });
    },
  );

  test('one document saved again and again ends migrated, and goes back to what was saved last', {
    tags: ['F48', 'P7'],
  }, async () => {
    await fill();
    await withSession("collection: 'people'", async (session) => {
      const writes: Promise<unknown>[] = [];
      let batches = 0;
      session.events.on('run:batch', () => {
        batches += 1;
        if (batches % 5 === 0) writes.push(people.replaceOne({ _id: 0 }, { mail: `SAVED${batches}@X.test` }));
      });
      // Behind the catch-up as well: the look at everything finds it.
      session.events.on('run:state', ({ to }) => {
        if (to === 'verifying') writes.push(people.replaceOne({ _id: 0 }, { mail: 'LAST@X.test' }));
      });
      const result = await startRun(session, 'm1', { batchSize: 25, workers: 1 }).result;
      await Promise.all(writes);
      expect(writes.length).toBeGreaterThan(3);
      expect(result.state).toBe('completed');
      expect(await people.findOne({ _id: 0 })).toEqual({ _id: 0, mail: 'last@x.test', v: 2 });
      expect((await dryRun(session, 'm1')).report.wouldChange).toBe(0);
      await startRollback(session, 'm1').result;
      expect(await people.findOne({ _id: 0 })).toEqual({ _id: 0, mail: 'LAST@X.test' });
    });
  });

  test('inserted in the new shape while the run goes on, past a filter: listed by the rollback', async () => {
    await fill();
    await withSession("collection: 'people', filter: { v: { $ne: 2 } }", async (session) => {
      const result = await runBeside(session, { workers: 1 }, async () => {
        await people.insertOne({ _id: 1, mail: 'new@x.test', v: 2 });
      });
      expect(result).toMatchObject({ state: 'completed', changed: COUNT });
      const back = await startRollback(session, 'm1').result;
      expect(back).toMatchObject({ restored: COUNT, noBefore: 1, identical: false });
      expect(back.noBeforeList.map(({ id }) => Number(id.value))).toEqual([1]);
    });
  });

  test('that the transform refuses are quarantined, and the run is over its budget', async () => {
    await fill();
    await withSession("collection: 'people'", async (session) => {
      const result = await runBeside(session, { workers: 1 }, async () => {
        await people.insertOne({ _id: 1 } as Person);
      });
      expect(result).toMatchObject({ state: 'failed', failed: 1 });
      await people.updateOne({ _id: 1 }, { $set: { mail: 'MENDED@X.test' } });
      expect(await startRun(session, 'm1', { retry: true }).result).toMatchObject({ state: 'completed', failed: 0 });
      expect(await oldShape()).toBe(0);
    });
  });
});
