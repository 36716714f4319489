/** Reading at a size at which a plan that is not by key would show: 200,000 documents, `_id`s of many types. */
import { Binary, Decimal128, Double, Int32, Long, ObjectId, UUID } from 'bson';
import type { CreateCollectionOptions, Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

const COUNT = 200_000;
/** One document in so many is changed. */
const SHARE = 500;

const uuid = (n: number): UUID => new UUID(Buffer.from(n.toString(16).padStart(32, '0'), 'hex'));

const MIXED: readonly ((n: number) => unknown)[] = [
  (n) => new Int32(n),
  (n) => new Double(n + 0.5),
  (n) => Long.fromNumber(2 ** 40 + n),
  (n) => Decimal128.fromString(`${n}.25`),
  (n) => `text ${n}`,
  (n) => ({ country: 'de', n }),
  (n) => uuid(n),
  (n) => new ObjectId((0x100000 + n).toString(16).padStart(24, '0')),
  (n) => new Date(n),
  (n) => new Binary(Buffer.from(String(n)), 128),
];

const COLLECTIONS: readonly (readonly [string, CreateCollectionOptions, readonly ((n: number) => unknown)[]])[] = [
  ['of all types mixed', {}, MIXED],
  ['of UUIDs', {}, [uuid]],
  ['of sub-documents', {}, [(n) => ({ country: n % 2 ? 'de' : 'fr', n })]],
  ['of all types, collated', { collation: { locale: 'en', strength: 1 } }, MIXED],
  ['of all types, clustered', { clusteredIndex: { key: { _id: 1 }, unique: true } }, MIXED],
];

describe('200,000 documents', () => {
  const { db, uri } = useDatabase('keyset');

  async function fill(options: CreateCollectionOptions, kinds: readonly ((n: number) => unknown)[]): Promise<void> {
    await db.createCollection('people', options);
    for (let at = 0; at < COUNT; at += 10_000) {
      const documents: Document[] = Array.from({ length: 10_000 }, (_, index) => {
        const n = at + index;
        return { _id: kinds[n % kinds.length]?.(n), n };
      });
      await db.command({ insert: 'people', documents });
    }
  }

  test.each(COLLECTIONS)(
    'with _ids %s: all are read once, and hardly more is examined than returned',
    async (_, options, kinds) => {
      await fill(options, kinds);
      await db.createCollection('system.profile', { capped: true, size: 64 * 1024 * 1024 });
      await db.command({ profile: 2, slowms: 0, filter: { op: 'query', 'command.find': 'people' } });
      const cwd = await makeMigration(
        `(doc) => (doc.n % ${SHARE} === 0 && doc.mark === undefined ? { ...doc, mark: 'x' } : doc)`,
      );
      const session = await openSession({ cwd, uri });
      const run = await startRun(session, 'm1', { batchSize: 500 }).result;
      await closeSession(session);
      await db.command({ profile: 0 });
      expect(run).toMatchObject({ state: 'completed', scanned: COUNT, changed: COUNT / SHARE, failed: 0 });
      expect(await db.collection('people').countDocuments({ mark: 'x' })).toBe(COUNT / SHARE);
      const [sums] = await db
        .collection('system.profile')
        .aggregate<{ reads: number; returned: number; documents: number; keys: number }>([
          { $match: { 'command.collectionUUID': { $exists: true } } },
          {
            $group: {
              _id: null,
              reads: { $sum: 1 },
              returned: { $sum: '$nreturned' },
              documents: { $sum: '$docsExamined' },
              keys: { $sum: '$keysExamined' },
            },
          },
        ])
        .toArray();
      await db.collection('system.profile').drop();
      // Once for the run, and once for its look at everything.
      expect(sums?.returned).toBeGreaterThanOrEqual(2 * COUNT);
      const { returned = 1, documents = 0, keys = 0 } = sums ?? {};
      console.log(
        `${_}: ${run.docsPerSecond} documents/s, ${(documents / returned).toFixed(4)} documents and ${(keys / returned).toFixed(4)} keys examined for each returned`,
      );
      expect(documents / returned).toBeLessThanOrEqual(1.1);
      expect(keys / returned).toBeLessThanOrEqual(1.1);
    },
    240_000,
  );
});
