import { Binary, Code, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID } from 'bson';
import type { CreateCollectionOptions, Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { audited } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

/** Every legal kind of `_id`, with twins that are nearly equal. */
const IDS: readonly unknown[] = [
  new MinKey(),
  null,
  new Double(Number.NaN),
  new Double(Number.NEGATIVE_INFINITY),
  new Int32(-7),
  new Double(0),
  new Int32(5),
  new Double(5.5),
  Long.fromString('9007199254740993'),
  Decimal128.fromString('6.00'),
  new Double(Number.POSITIVE_INFINITY),
  '',
  '$x',
  'a.b',
  'é',
  {},
  { a: 1, b: 2 },
  { b: 2, a: 1 },
  new Binary(Buffer.alloc(0), 0),
  new Binary(Buffer.from([1, 2, 3]), 128),
  new UUID('2667fae8-764d-4013-b7e1-197a3de3d629'),
  new ObjectId('000000000000000000000000'),
  new ObjectId('ffffffffffffffffffffffff'),
  false,
  true,
  new Date(-1),
  new Date(0),
  new Timestamp({ t: 1, i: 1 }),
  new Code('f()'),
  new MaxKey(),
];

const COLLECTIONS: readonly (readonly [string, CreateCollectionOptions])[] = [
  ['an ordinary collection', {}],
  ['a collated collection', { collation: { locale: 'en', strength: 1 } }],
  ['a clustered collection', { clusteredIndex: { key: { _id: 1 }, unique: true } }],
];

describe.each(COLLECTIONS)('%s', (_what, options) => {
  const { db, uri } = useDatabase('ids');

  /** Documents of every kind of `_id`, and many of a few. The insert command itself: a driver would replace null. */
  async function fill(many: number): Promise<number> {
    await db.createCollection('people', options);
    const documents: Document[] = IDS.map((_id) => ({ _id, n: 0 }));
    for (let n = 0; n < many; n += 1) {
      documents.push(
        { _id: new Int32(1_000 + n), n },
        { _id: `text ${n}`, n },
        { _id: new ObjectId((0x100000 + n).toString(16).padStart(24, '0')), n },
      );
    }
    for (let at = 0; at < documents.length; at += 1_000)
      await db.command({ insert: 'people', documents: documents.slice(at, at + 1_000) });
    return documents.length;
  }

  test('is read whole: every document once, whatever its _id, and brought back', {
    tags: ['F46', 'P5', 'P6', 'P7'],
  }, async () => {
    const count = await fill(500);
    const before = await dataHash(db);
    const cwd = await makeMigration("(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)");
    const session = await openSession({ cwd, uri });
    const run = await startRun(session, 'm1', { workers: 3, batchSize: 100 }).result;
    expect(run).toMatchObject({ state: 'completed', scanned: count, changed: count, failed: 0 });
    expect(await audited(db)).toBe(count);
    expect(await db.collection('people').countDocuments({ mark: 'x' })).toBe(count);
    expect((await verify(session, 'm1', { full: true })).ok).toBe(true);
    expect(await startRollback(session, 'm1').result).toMatchObject({ restored: count, noBefore: 0, identical: true });
    expect(await dataHash(db)).toEqual(before);
    await closeSession(session);
  });

  test('is examined hardly more than it returns', { tags: ['F46'] }, async () => {
    await fill(500);
    await db.command({ profile: 2, slowms: 0 });
    const cwd = await makeMigration("(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)");
    const session = await openSession({ cwd, uri });
    await startRun(session, 'm1', { batchSize: 100 }).result;
    await closeSession(session);
    await db.command({ profile: 0 });
    const reads = await db
      .collection('system.profile')
      .find({ op: 'query', 'command.find': 'people', 'command.collectionUUID': { $exists: true } })
      .toArray();
    const sum = (field: string): number => reads.reduce((total, read) => total + Number(read[field] ?? 0), 0);
    expect(reads.length).toBeGreaterThan(5);
    expect(sum('docsExamined') / sum('nreturned')).toBeLessThanOrEqual(1.1);
    await db.collection('system.profile').drop();
  });
});
