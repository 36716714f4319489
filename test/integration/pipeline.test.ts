/** Pipeline steps: what a bare updateMany does, with everything that a transform has. */
import { Decimal128, Double, Int32, Long, ObjectId } from 'bson';
import type { Collection, Db, Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { dryRun } from '../../src/verbs/dry-run.js';
import { type RollbackResult, startRollback } from '../../src/verbs/rollback.js';
import { type RunOptions, type RunResult, startRun } from '../../src/verbs/run.js';
import { closeSession, openSession, type Session } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { makeProject } from '../support/project.js';
import { rawInsert } from '../support/raw-insert.js';
import { hashOf, useScratch } from '../support/scratch.js';

const COUNT = 300;

/** Of every kind that matters: types, nesting, arrays, missing fields, odd names. */
const documentOf = (_id: number): Document => ({
  _id,
  first: `F${_id}`,
  ...(_id % 3 === 0 ? {} : { last: 'L' }),
  n: [new Int32(_id), new Double(_id), Long.fromNumber(_id), Decimal128.fromString(`${_id}.0`)][_id % 4],
  text: String(_id),
  nested: { z: 1, a: { deep: [_id, { x: null }] } },
  list: [{ q: _id }, { q: 'two' }, 3],
  when: new Date(_id * 1_000),
  owner: new ObjectId('64b7f0c2a1b2c3d4e5f60718'),
  'dotted.name': 1,
  $odd: 2,
  '': 3,
});

interface Case {
  readonly update: readonly Document[];
  /** Where the result would be changed again: what is not done yet. */
  readonly filter?: Document;
}

const MARKED = { done: { $exists: false } };

const PIPELINES: Readonly<Record<string, Case>> = {
  'sets fields at the top and below': {
    update: [{ $set: { 'nested.a.new': 1, zulu: '$first', alpha: { $ifNull: ['$last', null] } } }],
  },
  'removes fields': { update: [{ $unset: ['first', 'nested.z', 'not there'] }] },
  'renames, in an order of its own': {
    filter: { first: { $exists: true } },
    update: [{ $set: { zz: '$first', aa: '$text' } }, { $unset: ['first', 'text'] }],
  },
  'computes in every type': {
    update: [{ $set: { twice: { $multiply: ['$n', 2] }, half: { $divide: ['$n', 2] } } }],
  },
  'leaves some as they are': {
    update: [{ $set: { last: { $cond: [{ $eq: [{ $type: '$last' }, 'missing'] }, '$none', 'M'] } } }],
  },
  'keeps some fields only': { update: [{ $project: { first: 1, 'nested.a': 1 } }] },
  'leaves some fields out': { update: [{ $project: { list: 0 } }] },
  'replaces the document, without its _id': {
    filter: MARKED,
    update: [{ $replaceWith: { name: '$first', was: '$$ROOT', done: true } }],
  },
  'replaces the document, with its _id at the end': {
    filter: MARKED,
    update: [{ $replaceWith: { name: '$first', key: '$_id', done: 1, _id: '$_id' } }],
  },
  'works on arrays': {
    filter: { size: { $exists: false } },
    update: [{ $set: { list: { $map: { input: '$list', in: { is: '$$this' } } }, size: { $size: '$list' } } }],
  },
  'moves one field to the end': {
    update: [
      {
        $replaceWith: {
          $mergeObjects: [{ $unsetField: { field: 'first', input: '$$ROOT' } }, { first: '$first' }],
        },
      },
    ],
  },
};

const sourceOf = (update: readonly Document[], filter?: Document): string => `
import { defineMigration, pipeline } from 'godwit';
export default defineMigration({
  description: 'a test',
  steps: [pipeline({
    collection: 'people',
    ${filter ? `filter: ${JSON.stringify(filter)}` : 'all: true'},
    update: ${JSON.stringify(update)},
  })],
});
`;

/** Fails on a text that is no number. */
const NAMES = sourceOf(
  [{ $set: { name: { $concat: ['$first', ' ', '$text'] }, number: { $toInt: '$text' } } }, { $unset: 'first' }],
  { first: { $exists: true } },
);

type People = Collection<{ _id: number; [name: string]: unknown }>;

interface Place {
  readonly db: Db;
  readonly uri: string;
  readonly people: People;
}

describe.concurrent('a pipeline step', () => {
  const scratch = useScratch('pipeline', () => inject('mongoUri'));

  const empty = (): Place => {
    const { db, uri } = scratch.make();
    return { db, uri, people: db.collection('people') };
  };

  async function filled(count = COUNT, of = documentOf): Promise<Place> {
    const place = empty();
    await place.people.insertMany(Array.from({ length: count }, (_, _id) => of(_id)) as never[]);
    return place;
  }

  async function withSession<T>({ uri }: Place, source: string, work: (session: Session) => Promise<T>): Promise<T> {
    const cwd = await makeProject({ 'scripts/migrations/m1.mjs': source });
    const session = await openSession({ cwd, uri });
    try {
      return await work(session);
    } finally {
      await closeSession(session);
    }
  }

  const run = (session: Session, options: RunOptions = {}): Promise<RunResult> =>
    startRun(session, 'm1', options).result;
  const back = (session: Session): Promise<RollbackResult> => startRollback(session, 'm1').result;

  test.each(Object.entries(PIPELINES))(
    'that %s does what updateMany does, and comes back',
    { tags: ['P1', 'P6'] },
    async (_, { update, filter }) => {
      const place = await filled();
      const { db, people } = place;
      const before = await hashOf(db, 'people');
      await people.aggregate([{ $out: 'twin' }]).toArray();
      await db.collection('twin').updateMany(filter ?? {}, update as Document[]);
      await withSession(place, sourceOf(update, filter), async (session) => {
        const { report } = await dryRun(session, 'm1');
        expect(await hashOf(db, 'people')).toBe(before);
        expect(report).toMatchObject({ idempotent: true, deterministic: true, wouldFail: 0, scanned: COUNT });
        expect(report.wouldChange).toBeGreaterThan(0);
        expect(await run(session)).toMatchObject({ state: 'completed', changed: report.wouldChange, failed: 0 });
        expect(await hashOf(db, 'people')).toBe(await hashOf(db, 'twin'));
        expect(await verify(session, 'm1')).toMatchObject({ ok: true });
        expect(await back(session)).toMatchObject({ restored: report.wouldChange, identical: true });
        expect(await hashOf(db, 'people')).toBe(before);
      });
    },
  );

  test('puts the documents aside on which it fails, and no others', async () => {
    const place = await filled(COUNT, (_id) => ({
      ...documentOf(_id),
      ...(_id % 100 === 7 ? { text: 'secret words' } : {}),
    }));
    const { db, people } = place;
    const before = await hashOf(db, 'people');
    await withSession(place, NAMES, async (session) => {
      const { report } = await dryRun(session, 'm1');
      expect(report).toMatchObject({ wouldChange: COUNT - 3, wouldFail: 3 });
      expect(await run(session)).toMatchObject({ state: 'failed' });
      expect(await run(session, { maxFailures: 3 })).toMatchObject({ changed: COUNT - 3, failed: 3 });
      const failures = await db.collection('migrations_failures').find().toArray();
      expect(failures.map(({ documentId, code }) => [Number(documentId), code]).sort()).toEqual(
        [107, 207, 7].map((id) => [id, 'GODWIT_PIPELINE']),
      );
      expect(JSON.stringify([report.failures, failures.map(({ message }) => message)])).not.toContain('secret');
      expect(await people.findOne({ _id: 8 })).toMatchObject({ name: 'F8 8', number: 8 });

      await people.updateMany({ text: 'secret words' }, { $set: { text: '1' } });
      expect(await run(session, { retry: true })).toMatchObject({ state: 'completed', changed: COUNT, failed: 0 });
      await back(session);
      await people.updateMany({ _id: { $in: [7, 107, 207] } }, { $set: { text: 'secret words' } });
      expect(await hashOf(db, 'people')).toBe(before);
    });
  });

  test('puts aside what a unique index and a validator refuse, and an _id that would change', {
    tags: ['F42', 'F43'],
  }, async () => {
    const place = await filled(100);
    const { db, people } = place;
    await people.createIndex({ key: 1 }, { unique: true, partialFilterExpression: { key: { $exists: true } } });
    await db.command({ collMod: 'people', validator: { $nor: [{ key: 50 }] } });
    const update = [
      { $set: { key: { $cond: [{ $eq: ['$_id', 11] }, 10, '$_id'] } } },
      { $set: { _id: { $cond: [{ $eq: ['$_id', 12] }, 1_000, '$_id'] } } },
    ];
    await withSession(place, sourceOf(update), async (session) => {
      expect(await run(session, { maxFailures: 10 })).toMatchObject({ changed: 97, failed: 3 });
      const failures = await db.collection('migrations_failures').find().sort({ code: 1 }).toArray();
      expect(failures.map(({ code }) => code)).toEqual([
        'GODWIT_DUPLICATE',
        'GODWIT_TRANSFORM_ID',
        'GODWIT_VALIDATION',
      ]);
    });
  });

  test('is refused when it would change its own results', { tags: ['F50'] }, async () => {
    const place = await filled(50);
    const { db } = place;
    await withSession(
      place,
      sourceOf([{ $set: { count: { $add: [{ $ifNull: ['$count', 0] }, 1] } } }]),
      async (session) => {
        const { report } = await dryRun(session, 'm1');
        expect([report.idempotent, report.impureFields]).toEqual([false, ['count']]);
        expect(await run(session)).toMatchObject({ state: 'failed', changed: 0, failed: 1 });
        expect(await db.collection('migrations_failures').findOne()).toMatchObject({ code: 'GODWIT_NOT_IDEMPOTENT' });
      },
    );
  });

  test('that the server does not understand is refused before anything is planned', async () => {
    const place = await filled(10);
    const { db } = place;
    await withSession(place, sourceOf([{ $set: { a: { $nonsense: 1 } } }]), async (session) => {
      for (const one of [() => run(session), () => dryRun(session, 'm1')])
        await expect(one()).rejects.toMatchObject({
          code: 'GODWIT_MIGRATION_BROKEN',
          message: expect.stringContaining('$nonsense') as string,
        });
      expect(await db.collection('migrations').countDocuments()).toBe(0);
    });
  });

  test('carries documents that JavaScript cannot, and leaves alone those whose changed field it could not put back', {
    tags: ['F44', 'P6'],
  }, async () => {
    const field = (type: number, name: string, value: readonly number[]): Buffer =>
      Buffer.from([type, ...Buffer.from(`${name}\0`), ...value]);
    const document = (_id: number, ...fields: Buffer[]): Buffer => {
      const body = Buffer.concat([field(0x10, '_id', [_id, 0, 0, 0]), field(0x10, 'n', [1, 0, 0, 0]), ...fields]);
      const bytes = Buffer.concat([Buffer.alloc(4), body, Buffer.alloc(1)]);
      bytes.writeInt32LE(bytes.length);
      return bytes;
    };
    const invalid = [3, 0, 0, 0, 0xff, 0xfe, 0];
    const int = [1, 0, 0, 0];
    const place = empty();
    const { db, people, uri } = place;
    await people.insertOne({ _id: 0, n: 1, x: 1 });
    await rawInsert(uri, db.databaseName, 'people', [
      document(1, field(0x02, 'bad', invalid)),
      document(2, field(0x06, 'undef', [])),
      document(3, field(0x10, 'dup', int), field(0x10, 'dup', int)),
      document(4, field(0x02, 'x', invalid)),
    ]);
    const before = await hashOf(db, 'people');
    await withSession(
      place,
      sourceOf([{ $set: { y: { $ifNull: ['$x', 'none'] } } }, { $unset: ['x', 'n'] }], { n: 1 }),
      async (session) => {
        expect((await dryRun(session, 'm1')).report).toMatchObject({ wouldChange: 3, wouldFail: 2 });
        expect(await run(session, { maxFailures: 5 })).toMatchObject({ changed: 3, failed: 2 });
        const failures = await db.collection('migrations_failures').find().toArray();
        expect(failures.map(({ documentId, code }) => [Number(documentId), code]).sort()).toEqual([
          [3, 'GODWIT_NOT_CARRIED'],
          [4, 'GODWIT_NOT_CARRIED'],
        ]);
        expect(await back(session)).toMatchObject({ restored: 3, identical: true });
        expect(await hashOf(db, 'people')).toBe(before);
      },
    );
  });

  test('takes up what the application writes meanwhile, and `verify` finds what it writes afterwards', {
    tags: ['F48', 'F49', 'P2'],
  }, async () => {
    const place = await filled(2_000);
    const { people } = place;
    await withSession(place, NAMES, async (session) => {
      let isOver = false;
      const writing = (async (): Promise<number> => {
        let count = 0;
        for (; !isOver; count += 1) {
          await people.insertOne({ _id: 10_000 + count, first: 'late', text: '5' });
          // One document is written all the time: it is locked first.
          await people.updateOne({ _id: 1_000 }, { $inc: { hits: 1 } } as Document);
        }
        return count;
      })();
      const result = await run(session, { batchSize: 100 });
      isOver = true;
      const count = await writing;
      expect(result).toMatchObject({ state: 'completed', failed: 0 });
      expect(await people.findOne({ _id: 1_000 })).toMatchObject({ hits: count, name: 'F1000 1000', number: 1_000 });
      expect(await people.countDocuments({ __godwit_lock: { $exists: true } })).toBe(0);
      const late = await people.countDocuments({ first: { $exists: true } });
      expect(late).toBeLessThan(count);
      await people.updateOne({ _id: 5 }, { $set: { first: 'old', text: '6' } });
      const { checks } = await verify(session, 'm1');
      expect(checks.find(({ name }) => name.includes('still change'))).toMatchObject({ ok: false, found: late + 1 });
    });
  });
});
