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

  describe('say no only where the run would fail:', () => {
    const VALIDATED = async (db: Db): Promise<void> => {
      await db.createCollection('people', { validator: { mark: { $exists: false } } });
      await people()(db);
    };
    const REPLACED = "schema.setValidator({ collection: 'people', validator: { mark: 1 }, level: 'moderate' })";

    test.each<[string, string, (db: Db) => Promise<unknown>, RegExp | null]>([
      [
        'a validator that is replaced before',
        `${REPLACED}, transform({ collection: 'people', up: ${UP} })`,
        VALIDATED,
        null,
      ],
      [
        'unique keys that a call of a script frees before another',
        "script({ collections: ['people'], async up(ctx) { await ctx.remove('people', { _id: 0 }); await ctx.insert('people', [{ _id: 2, key: 0 }]); await ctx.update('people', { _id: 1 }, (doc) => ({ ...doc, key: 7 })); } })",
        async (db) => {
          await insert('people', [
            { _id: 0, key: 0 },
            { _id: 1, key: 1 },
          ])(db);
          await db.collection('people').createIndex({ key: 1 }, { unique: true });
        },
        /unique index people.key_1: an earlier step decides who has which key/,
      ],
      [
        'a unique index that is dropped before',
        "schema.dropIndex({ collection: 'people', name: 'key_1' }), transform({ collection: 'people', up: (doc) => ({ ...doc, key: 'x' }) })",
        async (db) => {
          await insert('people', [
            { _id: 0, key: 0 },
            { _id: 1, key: 1 },
          ])(db);
          await db.collection('people').createIndex({ key: 1 }, { unique: true });
        },
        null,
      ],
      [
        'references to what an earlier step inserts',
        "script({ collections: ['teams'], async up(ctx) { await ctx.insert('teams', [{ _id: 'a', n: 0 }, { _id: 'b', n: 1 }]); } }), references({ collection: 'people', path: 'key', to: 'teams', by: 'n', dangling: 'reject' })",
        async (db) => {
          await people()(db);
          await db.createCollection('teams');
        },
        /3 documents of people: they would fail now/,
      ],
      [
        'an up() that throws on its own result, which its filter does not choose',
        "transform({ collection: 'people', filter: { old: { $exists: true } }, up: ({ old, ...doc }) => ({ ...doc, name: old.trim() }) })",
        insert('people', [
          { _id: 1, old: ' Ana ' },
          { _id: 2, old: 'Bo' },
        ]),
        null,
      ],
      [
        'an up() that changes its own result, which its filter does not choose',
        "transform({ collection: 'people', filter: { version: { $ne: 2 } }, up: (doc) => ({ ...doc, n: doc.n + 1, version: 2 }) })",
        insert('people', [
          { _id: 1, n: 1 },
          { _id: 2, n: 5 },
        ]),
        null,
      ],
    ])('%s', async (_, steps, fill, notChecked) => {
      const { dry, run, verify, rollback } = await place(steps, fill);
      const found = await dry();
      expect(found.error).toEqual({});
      expect([
        found.exit,
        found.json['wouldFail'],
        found.json['uniqueCollisionCount'],
        found.json['validationFailureCount'],
      ]).toEqual([0, 0, 0, 0]);
      const unchecked = JSON.stringify(found.json['notChecked']);
      if (notChecked) expect(unchecked).toMatch(notChecked);
      expect((await run()).exit).toBe(0);
      expect((await verify()).exit).toBe(0);
      expect((await rollback()).json).toMatchObject({ identical: true });
    });

    test.each<[string, string, RegExp]>([
      [
        'a unique index that is made before',
        `${INDEX}, transform({ collection: 'people', up: (doc) => ({ ...doc, key: 'x' }) })`,
        /uniqueCollisionCount":1/,
      ],
      [
        'a validator that is set before',
        `${REPLACED.replace("'moderate'", "'strict'").replace('mark: 1', 'mark: 2')}, transform({ collection: 'people', up: ${UP} })`,
        /validationFailureCount":2/,
      ],
    ])('and it is said where it would: %s', async (_, steps, says) => {
      const { dry, run } = await place(
        steps,
        insert('people', [
          { _id: 0, key: 0 },
          { _id: 1, key: 1 },
        ]),
      );
      const found = await dry();
      expect([found.exit, JSON.stringify(found.json)]).toEqual([4, expect.stringMatching(says)]);
      const done = await run('--max-failures', '5');
      expect(done.exit).toBe(4);
    });
  });

  describe('claim nothing that was not checked:', () => {
    test.each<[string, string, object]>([
      [
        'every document failed',
        "transform({ collection: 'people', up: () => { throw new Error('no'); } })",
        { idempotent: null, deterministic: null },
      ],
      [
        'nothing is there',
        `transform({ collection: 'people', filter: { none: 1 }, up: ${UP} })`,
        { idempotent: null, deterministic: null },
      ],
      [
        'a fresh ObjectId in what a script inserts',
        "script({ collections: ['people'], async up(ctx) { await ctx.insert('people', [{ _id: Math.random(), n: 1 }]); } })",
        { deterministic: false, impureFields: ['_id'] },
      ],
      [
        'a script that goes another way each time',
        "script({ collections: ['people'], async up(ctx) { globalThis.turn = 1 + (globalThis.turn ?? 0); await ctx.update('people', { _id: globalThis.turn % 2 }, (doc) => ({ ...doc, mark: 1 })); } })",
        { deterministic: false },
      ],
      [
        'an _id by its seed',
        "script({ collections: ['people'], async up(ctx) { for (const { _id } of await ctx.db.find('people')) await ctx.insert('people', [{ _id: ctx.id('copy', _id), n: 1 }]); } })",
        { deterministic: true, wouldInsert: 3 },
      ],
    ])('%s', async (_, steps, report) => {
      const { dry } = await place(steps, people());
      expect((await dry()).json).toMatchObject(report);
    });

    test('a script with _ids by their seeds inserts each once, however often it is stopped', async () => {
      const { db, run } = await place(
        "script({ collections: ['copies'], async up(ctx) { await ctx.insert('copies', (await ctx.db.find('people')).map(({ _id }) => ({ _id: ctx.id(_id), of: _id }))); } })",
        async (base) => {
          await people(40)(base);
          await base.createCollection('copies');
        },
      );
      expect((await run('--limit', '10', '--batch-size', '7')).exit).toBe(7);
      expect((await run()).exit).toBe(0);
      expect(await db.collection('copies').countDocuments()).toBe(40);
    });
  });

  test('--only and --limit are obeyed by a dry run as by a run', async () => {
    const { dry, run, db } = await place(`transform({ collection: 'people', up: ${UP} })`, people(20));
    expect((await dry()).json).toMatchObject({ wouldChange: 20, limit: null });
    const [only, limit] = [
      ['--only', '7'],
      ['--limit', '5'],
    ];
    const look = async (more: readonly string[]) => (await run('--dry-run', ...more)).json;
    expect(await look(only as string[])).toMatchObject({ scanned: 1, wouldChange: 1, isOnly: true });
    expect(await look(limit as string[])).toMatchObject({ scanned: 5, wouldChange: 5, limit: 5 });
    expect((await run(...(limit as string[]))).json).toMatchObject({ changed: 5 });
    expect(await db.collection('people').countDocuments({ mark: 1 })).toBe(5);
  });

  test('what a transform has copied and references leave dangling, as announced, is not held against the run', async () => {
    const { db, dry, run, verify } = await place(
      "transform({ collection: 'people', up: (doc) => (doc.team === undefined ? { ...doc, team: doc.key } : doc) }), references({ collection: 'people', path: 'team', to: 'teams', by: 'n' })",
      async (base) => {
        await people(4)(base);
        await insert('teams', [
          { _id: 'zero', n: 0 },
          { _id: 'other', n: 7 },
        ])(base);
      },
    );
    expect((await dry()).json['references']).toMatchObject([{ keys: 2, dangling: 2 }]);
    expect((await run()).exit).toBe(0);
    expect((await verify()).json).toMatchObject({ ok: true });
    await db.collection<{ _id: string }>('teams').deleteOne({ _id: 'zero' });
    expect((await verify()).exit).toBe(6);
  });
});
