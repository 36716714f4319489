/** The dry run says yes only where the run would, and no only where the run would not: each input goes through both. */
import type { Db, Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { runJson } from '../support/command.js';
import { makeProject } from '../support/project.js';
import { everything, useScratch } from '../support/scratch.js';

interface Verdict {
  readonly exit: number | null;
  readonly json: Readonly<Record<string, unknown>>;
  readonly error: { readonly code?: string; readonly message?: string };
}

describe.concurrent('a dry run and its run', () => {
  const scratch = useScratch('foreseen', () => inject('mongoUri'));

  async function place(steps: string, fill: (db: Db) => Promise<unknown>) {
    const { db, uri } = scratch.make();
    await fill(db);
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { defineMigration, merge, pipeline, references, schema, script, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${steps}] });
`,
    });
    const verdict = async (args: readonly string[]): Promise<Verdict> => {
      const { code, json } = await runJson([...args, '--progress', 'none'], { cwd, uri });
      return { exit: code, json, error: (json['error'] ?? {}) as Verdict['error'] };
    };
    return {
      db,
      dry: () => verdict(['run', 'm1', '--dry-run']),
      run: (...more: readonly string[]) => verdict(['run', 'm1', ...more]),
      verify: () => verdict(['verify', 'm1']),
      rollback: () => verdict(['rollback', 'm1']),
    };
  }

  const insert = (name: string, documents: readonly object[]) => (db: Db) =>
    db.collection(name).insertMany(documents.map((one) => ({ ...one }) as Document));

  const people = (n = 3) =>
    insert(
      'people',
      Array.from({ length: n }, (_, _id) => ({ _id, key: _id % 2 })),
    );

  const capped = async (db: Db): Promise<void> => {
    await people()(db);
    await db.createCollection('log', { capped: true, size: 100_000 });
    await db.createCollection('seen', { viewOn: 'log', pipeline: [] });
    await db.createCollection('contacts');
    await insert('log', [{ _id: 1, key: 1 }])(db);
  };

  const UP = '(doc) => (doc.mark ? doc : { ...doc, mark: 1 })';
  const INDEX = "schema.createIndex({ collection: 'people', key: { key: 1 }, options: { unique: true } })";

  describe('are of one mind about what is refused before anything is touched:', () => {
    test.each<[string, string, (db: Db) => Promise<unknown>, RegExp]>([
      ['a capped collection', `transform({ collection: 'log', up: ${UP} })`, capped, /log is a capped collection/],
      [
        'a capped collection of a merge',
        "merge({ into: 'contacts', from: { log: { map: (doc) => ({ key: doc.key }) } }, identity: [(doc) => doc.key] })",
        capped,
        /log is a capped collection/,
      ],
      [
        'a capped collection behind a lookup',
        `transform({ collection: 'people', lookup: { log: { from: 'log', localField: 'key', foreignField: 'key' } }, up: ${UP} })`,
        capped,
        /log is a capped collection/,
      ],
      [
        'a view of one behind references',
        "references({ collection: 'people', path: 'key', to: 'seen', by: 'key' })",
        capped,
        /log is a capped collection/,
      ],
      [
        'a script that writes to one',
        "script({ collections: ['log'], async up(ctx) { await ctx.insert('log', [{ _id: 2 }]); } })",
        capped,
        /log is a capped collection/,
      ],
      [
        'an index that is dropped for a unique one over duplicates',
        `schema.dropIndex({ collection: 'people', name: 'key_1' }), ${INDEX}`,
        async (db) => {
          await people()(db);
          await db.collection('people').createIndex({ key: 1 });
        },
        /found a key in people that more than one document has/,
      ],
      [
        'an index that is there under another name',
        "schema.createIndex({ collection: 'people', key: { key: 1 }, options: { name: 'mine' } })",
        async (db) => {
          await people()(db);
          await db.collection('people').createIndex({ key: 1 }, { expireAfterSeconds: 9_999_999 });
        },
        /found the index key_1 with the same key/,
      ],
      [
        'a second index of texts',
        "schema.createIndex({ collection: 'people', key: { note: 'text' } })",
        async (db) => {
          await people()(db);
          await db.collection('people').createIndex({ key: 'text' });
        },
        /found the text index key_text/,
      ],
      [
        'an index over two arrays',
        "schema.createIndex({ collection: 'people', key: { a: 1, b: 1 } })",
        insert('people', [{ _id: 1, a: [1], b: [2] }]),
        /found 1 document of people with arrays in two of its fields/,
      ],
      [
        'a hashed index over an array',
        "schema.createIndex({ collection: 'people', key: { a: 'hashed' } })",
        insert('people', [{ _id: 1, a: [1] }]),
        /found 1 document of people with an array/,
      ],
    ])('%s', async (_, steps, fill, says) => {
      const { db, dry, run } = await place(steps, fill);
      const before = await everything(db);
      const found = await dry();
      if (found.exit === 2)
        expect(found.error).toMatchObject({ code: 'GODWIT_TARGET', message: expect.stringMatching(says) });
      else expect([found.exit, JSON.stringify(found.json['schema'])]).toEqual([4, expect.stringMatching(says)]);
      const done = await run();
      expect(done.exit).toBe(2);
      expect(done.error).toMatchObject({ code: 'GODWIT_TARGET', message: expect.stringMatching(says) });
      expect(await everything(db)).toEqual(before);
    });

    test('the same index under another name is no obstacle where the server takes both', async () => {
      const { dry, run } = await place(
        "schema.createIndex({ collection: 'people', key: { key: 1 }, options: { name: 'mine', sparse: true } })",
        async (db) => {
          await people()(db);
          await db.collection('people').createIndex({ key: 1 });
        },
      );
      expect([(await dry()).exit, (await run()).exit]).toEqual([0, 0]);
    });
  });

  test('an index stays where what replaces it cannot be built: documents of an earlier step decide that', async () => {
    const { db, dry, run, rollback } = await place(
      `transform({ collection: 'people', up: ${UP} }), schema.dropIndex({ collection: 'people', name: 'key_1' }), ${INDEX}`,
      async (db) => {
        await people()(db);
        await db.collection('people').createIndex({ key: 1 });
      },
    );
    const found = await dry();
    expect(JSON.stringify(found.json['schema'])).toContain('as the documents are now');
    const stopped = await run();
    expect([stopped.exit, stopped.error.code]).toEqual([1, 'GODWIT_SCHEMA']);
    expect((await db.collection('people').indexes()).map(({ name }) => name)).toEqual(['_id_', 'key_1']);
    expect((await rollback()).exit).toBe(0);
  });

  describe('fail the same documents:', () => {
    test.each<[string, string, string, number]>([
      [
        'a result of more than 16 MiB',
        "transform({ collection: 'people', up: (doc) => ({ ...doc, text: 'x'.repeat(doc._id === 1 ? 16.5 * 2 ** 20 : 1) }) })",
        'GODWIT_TOO_LARGE',
        1,
      ],
      [
        'a result of more than 17 MiB',
        "transform({ collection: 'people', up: (doc) => ({ ...doc, text: 'x'.repeat(doc._id === 1 ? 20 * 2 ** 20 : 1) }) })",
        'GODWIT_TOO_LARGE',
        1,
      ],
      [
        'many small values of more than 17 MiB',
        "transform({ collection: 'people', up: (doc) => ({ ...doc, list: Array.from({ length: doc._id === 1 ? 1_500_000 : 1 }, (_, n) => n) }) })",
        'GODWIT_TOO_LARGE',
        1,
      ],
      [
        'an insertion of 16.5 MiB',
        "script({ collections: ['people'], async up(ctx) { await ctx.insert('people', [{ _id: 'a' }, { _id: 'b', text: 'x'.repeat(16.5 * 2 ** 20) }]); } })",
        'GODWIT_TOO_LARGE',
        1,
      ],
      [
        'an _id that an earlier call has inserted',
        "script({ collections: ['people'], async up(ctx) { await ctx.insert('people', [{ _id: 'a', n: 1 }]); await ctx.insert('people', [{ _id: 'a', n: 2 }]); } })",
        'GODWIT_DUPLICATE',
        1,
      ],
    ])('%s', async (_, steps, code, count) => {
      const { db, dry, run } = await place(steps, people());
      const found = await dry();
      expect([found.exit, found.json['wouldFail'], (found.json['failures'] as { code: string }[])[0]?.code]).toEqual([
        4,
        count,
        code,
      ]);
      const done = await run('--max-failures', '5');
      expect([done.exit, done.json['failed']]).toEqual([4, count]);
      expect(await db.collection('migrations_failures').find().toArray()).toMatchObject([{ code }]);
      if (code === 'GODWIT_DUPLICATE')
        expect(await db.collection<{ _id: string }>('people').findOne({ _id: 'a' })).toEqual({ _id: 'a', n: 1 });
    });
  });
});
