import { Binary, BSONSymbol, Code, Decimal128, Double, Int32, Long, ObjectId, UUID } from 'bson';
import type { CreateCollectionOptions, Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { decodeEntries } from '../../src/domain/audit-entry.js';
import { auditOfChunk } from '../../src/mongo/audit-entries.js';
import { listChunks } from '../../src/mongo/chunks.js';
import { dryRun } from '../../src/verbs/dry-run.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession, type Session } from '../../src/verbs/session.js';
import { randomFrom } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

const UP = '(doc) => (doc.mark === undefined ? { ...doc, mark: doc.n } : doc)';

const COLLECTIONS: readonly (readonly [string, CreateCollectionOptions])[] = [
  ['an ordinary collection', {}],
  ['a collated collection', { collation: { locale: 'en', strength: 1 } }],
  ['a clustered collection', { clusteredIndex: { key: { _id: 1 }, unique: true } }],
];

/** `_id`s at random, as many of each kind, equal to no other one even where numbers and letters are compared. */
function idsOfEachKind(each: number): unknown[] {
  const random = randomFrom(7);
  const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
  const makers: readonly ((n: number) => unknown)[] = [
    // Numbers of four types, mixed in value: n picks the whole part, so that there are no twins.
    (n) =>
      [new Int32(n), new Double(n + 0.5), Long.fromNumber(n * 2 ** 40 + 1), Decimal128.fromString(`-${n}.25`)][n % 4],
    (n) => `${bytes(3).toString('hex')} ${n}`,
    (n) => ({ n, at: random() }),
    (n) => ({ at: random(), n }),
    () => new Binary(bytes(5), 0),
    () => new UUID(bytes(16)),
    () => new ObjectId(bytes(12)),
    (n) => new Date(Math.floor((random() - 0.5) * 1e13) + n),
    (n) => new Code(`f${bytes(3).toString('hex')}(${n})`),
    (n) => new Code(`f${n}`, { x: random() }),
    (n) => new BSONSymbol(`${n} ${bytes(3).toString('hex')}`),
  ];
  return makers.flatMap((make) => Array.from({ length: each }, (_, n) => make(n)));
}

describe.each(COLLECTIONS)('%s cut into many chunks', (_what, options) => {
  const { db, uri } = useDatabase('chunks');

  async function fill(ids: readonly unknown[]): Promise<void> {
    await db.createCollection('people', options);
    const documents: Document[] = ids.map((_id, n) => ({ _id, n }));
    for (let at = 0; at < documents.length; at += 1_000) {
      const { writeErrors } = await db.command({ insert: 'people', documents: documents.slice(at, at + 1_000) });
      expect(writeErrors).toBeUndefined();
    }
  }

  /** How often the audit holds each document. */
  async function timesAudited(session: Session): Promise<number[]> {
    const times = new Map<string, number>();
    const run = await session.state.runs.findOne({ current: true });
    for (const chunk of await listChunks(session.state, run?._id ?? ''))
      for await (const { head, images } of auditOfChunk(session.state, chunk, 'up'))
        if (head.n > 0)
          for (const { before } of decodeEntries(images)) times.set(before.key, (times.get(before.key) ?? 0) + 1);
    return [...times.values()];
  }

  test('is changed once by many workers, document by document, whatever its _ids, and comes back', {
    tags: ['F46', 'P5', 'P6', 'P7'],
  }, async () => {
    // The server indexes no symbol under a collation.
    const ids = idsOfEachKind(120).filter((id) => !options.collation || !(id instanceof BSONSymbol));
    await fill(ids);
    const before = await dataHash(db);
    const session = await openSession({ cwd: await makeMigration(UP), uri });
    const warned: string[] = [];
    const onWarning = ({ name }: Error): number => warned.push(name);
    process.on('warning', onWarning);
    try {
      const run = await startRun(session, 'm1', { workers: 16, batchSize: 20 }).result;
      expect(run).toMatchObject({ state: 'completed', scanned: ids.length, changed: ids.length, failed: 0 });
      expect(await db.collection('migrations_chunks').countDocuments({ kind: 'range' })).toBeGreaterThan(12);
      const times = await timesAudited(session);
      expect([times.length, Math.max(...times)]).toEqual([ids.length, 1]);
      // Each got its own value, not that of a neighbour.
      expect(await db.collection('people').countDocuments({ $expr: { $ne: ['$n', '$mark'] } })).toBe(0);
      expect((await dryRun(session, 'm1')).report).toMatchObject({ scanned: ids.length, wouldChange: 0 });
      const back = await startRollback(session, 'm1', { workers: 16 }).result;
      expect(back).toMatchObject({ restored: ids.length, noBefore: 0, identical: true });
      expect(await dataHash(db)).toEqual(before);
      // Node takes many listeners for a leak, and would say so on the user's terminal.
      expect(warned).toEqual([]);
    } finally {
      process.off('warning', onWarning);
      await closeSession(session);
    }
  });
});
