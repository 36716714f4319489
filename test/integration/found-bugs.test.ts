/** Bugs that were found by looking for them. */
import { deserialize, MinKey, serialize } from 'bson';
import type { CreateCollectionOptions, Document } from 'mongodb';
import { afterEach, describe, expect, test } from 'vitest';
import { onFaultPoint } from '../../src/engine/fault-points.js';
import { audit } from '../../src/verbs/audit.js';
import { type RollbackResult, startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession, type Session } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';
import { rawInsert } from '../support/raw-insert.js';

interface Person extends Document {
  _id: number | string | boolean | Date | MinKey;
}

const LOWER = '(doc) => (doc.v === 2 ? doc : { ...doc, mail: doc.mail.toLowerCase(), v: 2 })';

describe('found:', () => {
  const { db, uri } = useDatabase('found');
  const people = db.collection<Person>('people');

  async function withSession(work: (session: Session) => Promise<void>, up = LOWER, options?: string): Promise<void> {
    const session = await openSession({ cwd: await makeMigration(up, options), uri });
    try {
      await work(session);
    } finally {
      await closeSession(session);
    }
  }

  /** `{_id, mail}` whose `_id` is an element of this type and these bytes. */
  function withRawId(type: number, value: Buffer): Buffer {
    const rest = Buffer.from(serialize({ mail: `M${value.toString('hex')}@X.test` })).subarray(4);
    const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from([type]), Buffer.from('_id\0'), value, rest]);
    bytes.writeInt32LE(bytes.length);
    return bytes;
  }

  const dateId = (ms: bigint): Buffer => {
    const value = Buffer.alloc(8);
    value.writeBigInt64LE(ms);
    return withRawId(0x09, value);
  };

  /** How a run ended; to refuse such a collection is an answer, too. */
  const stateAfter = (session: Session): Promise<string> =>
    startRun(session, 'm1', { maxFailures: 9 }).result.then(
      ({ state }) => state,
      () => 'refused',
    );

  /** Holds the run, or the rollback, at this point while the application writes: once, as soon as it is time. */
  function holdAt(point: string, write: () => Promise<unknown>, isTime = async (): Promise<boolean> => true): void {
    let hasWritten = false;
    onFaultPoint(async (found) => {
      if (found !== point || hasWritten || !(await isTime())) return;
      hasWritten = true;
      await write();
    });
  }
  afterEach(() => onFaultPoint(undefined));

  const hashOfRun = async (session: Session): Promise<{ before: Record<string, string>; back: RollbackResult }> => {
    const before = await dataHash(db);
    await startRun(session, 'm1', { batchSize: 100 }).result;
    return { before, back: await startRollback(session, 'm1').result };
  };

  describe('_ids that JavaScript cannot hold', () => {
    test('a date beyond JavaScript: its values are never written into the document of 1970', async () => {
      await rawInsert(uri, db.databaseName, 'people', [dateId(-(2n ** 60n)), dateId(0n)]);
      await withSession(async (session) => {
        await stateAfter(session);
        const [first] = await people.find({ _id: new Date(0) }, { raw: true }).toArray();
        expect(deserialize(first as unknown as Uint8Array)['mail']).toMatch(/^m0{16}@/i);
      });
    });

    test('a date beyond JavaScript: no run is complete that has not read it', { tags: ['F46', 'P10'] }, async () => {
      await rawInsert(uri, db.databaseName, 'people', [dateId(0n), dateId(2n ** 60n)]);
      await withSession(async (session) => {
        const state = await stateAfter(session);
        const left = await people.countDocuments({ v: { $ne: 2 } });
        const quarantined = await session.state.failures.countDocuments();
        expect(state === 'completed' ? left - quarantined : 0).toBe(0);
      });
    });

    test('a DBPointer: no run is complete, and no verification right, that has not read it', {
      tags: ['F46', 'P10'],
    }, async () => {
      const pointer = Buffer.concat([Buffer.from([2, 0, 0, 0]), Buffer.from('x\0'), Buffer.alloc(12, 7)]);
      await rawInsert(uri, db.databaseName, 'people', [withRawId(0x0c, pointer)]);
      await withSession(async (session) => {
        const state = await stateAfter(session);
        expect(state === 'completed' ? (await verify(session, 'm1')).checked : 1).toBe(1);
      });
    });
  });

  describe('the audit of one document', () => {
    test('is found in a collated collection', async () => {
      const options: CreateCollectionOptions = { collation: { locale: 'en', strength: 1 } };
      await db.createCollection('people', options);
      await people.insertMany(['a', 'B', 'c', 'D'].map((_id) => ({ _id, mail: 'M' })));
      await withSession(async (session) => {
        await startRun(session, 'm1').result;
        expect((await audit(session, 'm1', { doc: 'B' })).entries.length).toBe(1);
        expect((await startRollback(session, 'm1', { only: 'B' }).result).restored).toBe(1);
      });
    });

    test('is found when it was caught up with beside _ids of other types', async () => {
      await people.insertMany(Array.from({ length: 600 }, (_, _id) => ({ _id, mail: 'M' })));
      await withSession(async (session) => {
        holdAt('batch:after-commit', () =>
          people.insertMany(['text', true, new MinKey()].map((_id) => ({ _id, mail: 'N' }))),
        );
        await startRun(session, 'm1', { batchSize: 30 }).result;
        expect((await audit(session, 'm1', { doc: 'text' })).entries.length).toBe(1);
      });
    });
  });

  describe('a rollback says what it left:', () => {
    const fill = (count = 3): Promise<unknown> =>
      people.insertMany(Array.from({ length: count }, (_, n) => ({ _id: 2 * n, mail: `P${n}@X.test` })));

    test('a second one is not identical where the first was not', async () => {
      await fill();
      await withSession(async (session) => {
        await startRun(session, 'm1').result;
        await people.insertOne({ _id: 1, mail: 'new@x.test', v: 2 });
        const first = await startRollback(session, 'm1').result;
        const second = await startRollback(session, 'm1').result;
        expect([second.noBefore, second.identical]).toEqual([first.noBefore, first.identical]);
      });
    });

    test('a dry run of a forced one, after one that reported, predicts what is overwritten', async () => {
      await fill();
      await withSession(async (session) => {
        await startRun(session, 'm1').result;
        await people.updateOne({ _id: 0 }, { $set: { mail: 'third@x.test' } });
        await startRollback(session, 'm1').result;
        const dry = await startRollback(session, 'm1', { onConflict: 'force', dryRun: true }).result;
        const back = await startRollback(session, 'm1', { onConflict: 'force' }).result;
        expect([dry.keptFields, dry.alreadyBack]).toEqual([back.keptFields, back.alreadyBack]);
      });
    });

    test('documents inserted in the new shape while a run without a filter goes on', async () => {
      await fill(600);
      await withSession(async (session) => {
        holdAt(
          'batch:after-commit',
          () => people.insertOne({ _id: 1, mail: 'new@x.test', v: 2 }),
          async () => (await people.countDocuments({ _id: 0, v: 2 })) === 1,
        );
        const { before, back } = await hashOfRun(session);
        expect(await dataHash(db)).not.toEqual(before);
        expect([back.identical, back.noBefore]).toEqual([false, 1]);
      });
    });

    test.each([
      ['that is completed', {}],
      ['that is stopped behind them', { limit: 240 }],
    ])('documents inserted in the new shape ahead of the cursor of a run %s', async (_, limit) => {
      await fill(300);
      await withSession(async (session) => {
        holdAt('batch:after-commit', () => people.insertOne({ _id: 401, mail: 'new@x.test', v: 2 }));
        await startRun(session, 'm1', { batchSize: 30, workers: 1, ...limit }).result;
        const dry = await startRollback(session, 'm1', { dryRun: true }).result;
        const back = await startRollback(session, 'm1').result;
        expect([dry.identical, dry.noBefore]).toEqual([false, 1]);
        expect([back.identical, back.noBefore, back.insertsKnown]).toEqual([false, 1, true]);
      });
    });

    test('that it cannot know what was inserted when the history is lost', async () => {
      await fill();
      await withSession(async (session) => {
        await startRun(session, 'm1', { limit: 1 }).result;
        await session.state.runs.updateOne({}, { $set: { 'stream.isLost': true } });
        const back = await startRollback(session, 'm1').result;
        expect([back.restored, back.insertsKnown, back.identical]).toEqual([1, false, false]);
      });
    });

    test('what the application wrote in the new shape behind the rollback is kept and listed, or overwritten when asked', async () => {
      await fill(600);
      await withSession(async (session) => {
        await startRun(session, 'm1', { batchSize: 100 }).result;
        const migrated = await people.findOne({ _id: 0 });
        holdAt(
          'rollback:after-commit',
          () => people.replaceOne({ _id: 0 }, { mail: migrated?.['mail'], v: 2 }),
          async () => (await people.countDocuments({ _id: 0, v: 2 })) === 0,
        );
        const back = await startRollback(session, 'm1', { workers: 1 }).result;
        expect([back.restored, back.conflicts, back.identical]).toEqual([600, 1, false]);
        expect(back.conflictList[0]?.because).toContain('while the rollback went on');
        expect(await people.findOne({ _id: 0 })).toEqual(migrated);
        expect((await startRollback(session, 'm1').result).conflicts).toBe(1);
        const forced = await startRollback(session, 'm1', { onConflict: 'force' }).result;
        expect(forced.conflicts).toBe(0);
        expect(await people.findOne({ _id: 0 })).toEqual({ _id: 0, mail: 'P0@X.test' });
      });
    });

    test('documents that down() took back were not there before: not identical', async () => {
      await fill();
      await withSession(
        async (session) => {
          await startRun(session, 'm1').result;
          await people.insertOne({ _id: 1, mail: 'new@x.test', v: 2 });
          const back = await startRollback(session, 'm1').result;
          expect([back.byDown, back.identical]).toEqual([1, false]);
        },
        LOWER,
        "collection: 'people', down: ({ v, ...doc }) => ({ ...doc, mail: doc.mail.toUpperCase() })",
      );
    });

    test('a document in conflict is counted once, however often the run changed it', async () => {
      await fill(600);
      await withSession(async (session) => {
        const writes: Promise<unknown>[] = [];
        session.events.on('run:batch', ({ counters }) => {
          if (counters.scanned === 300) writes.push(people.replaceOne({ _id: 0 }, { mail: 'FIRST' }));
        });
        session.events.on('run:state', ({ to }) => {
          if (to === 'verifying') writes.push(people.replaceOne({ _id: 0 }, { mail: 'SECOND' }));
        });
        await startRun(session, 'm1', { batchSize: 30, workers: 1 }).result;
        await Promise.all(writes);
        const back = await startRollback(session, 'm1').result;
        expect([writes.length, back.conflicts]).toEqual([2, 1]);
      });
    });

    test('forced, a document that --only took first and the run took again is as before both', async () => {
      await fill();
      await withSession(async (session) => {
        await startRun(session, 'm1', { only: '0' }).result;
        await people.replaceOne({ _id: 0 }, { mail: 'BETWEEN' });
        await startRun(session, 'm1').result;
        await startRollback(session, 'm1', { onConflict: 'force' }).result;
        expect(await people.findOne({ _id: 0 })).toEqual({ _id: 0, mail: 'P0@X.test' });
      });
    });

    test('a document that is gone, asked for by --only', async () => {
      await fill();
      await withSession(async (session) => {
        await startRun(session, 'm1').result;
        await people.deleteOne({ _id: 0 });
        expect(await startRollback(session, 'm1', { only: '0' }).result).toMatchObject({ goneSince: 1 });
      });
    });
  });

  test('a date that up() changes in place is a mutation of its input, not nothing', async () => {
    await people.insertOne({ _id: 1, born: new Date('2000-01-02T05:06:07Z') });
    await withSession(async (session) => {
      await startRun(session, 'm1', { maxFailures: 1 }).result;
      const [failure] = await session.state.failures.find().toArray();
      expect(failure?.code).toBe('GODWIT_TRANSFORM_MUTATES');
    }, '(doc) => { doc.born.setUTCHours(0, 0, 0, 0); return { ...doc, v: 2 }; }');
  });

  test('a copy by keep() of what JavaScript cannot carry is refused, not altered', { tags: ['F44'] }, async () => {
    const bytes = Buffer.from(serialize({ _id: 1, o: { aa: 1, bb: 2 } }));
    bytes.fill('a', bytes.indexOf('bb'), bytes.indexOf('bb') + 2);
    await rawInsert(uri, db.databaseName, 'people', [bytes]);
    await withSession(async (session) => {
      expect((await startRun(session, 'm1', { maxFailures: 1 }).result).failed).toBe(1);
    }, "(doc, { keep }) => ({ ...doc, copy: keep('o') })");
  });

  test('a document in quarantine that the application mends while the run goes on leaves it, and is counted once', async () => {
    await people.insertMany(Array.from({ length: 900 }, (_, _id) => ({ _id, mail: _id === 0 ? 7 : 'P@X.test' })));
    await withSession(async (session) => {
      let writing: Promise<unknown> | undefined;
      session.events.on('run:batch', () => {
        writing ??= people.updateOne({ _id: 0 }, { $set: { mail: 'MENDED@X.test' } });
      });
      const run = await startRun(session, 'm1', { batchSize: 30, workers: 1, maxFailures: 5 }).result;
      await writing;
      expect(await people.findOne({ _id: 0 })).toEqual({ _id: 0, mail: 'mended@x.test', v: 2 });
      expect([run.scanned, run.changed, run.failed]).toEqual([900, 900, 0]);
      expect(await session.state.failures.countDocuments()).toBe(0);
      expect((await verify(session, 'm1')).ok).toBe(true);
    });
  });
});
