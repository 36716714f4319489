/** Collections, indexes and validators, changed and taken back on a real server. */
import type { Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { godwit } from '../../src/godwit.js';
import { libraryAt } from '../support/library.js';
import { brokenHistory } from '../support/observe.js';
import { makeProject } from '../support/project.js';
import { hashOf, structureOf, useScratch } from '../support/scratch.js';

const project = (steps: string, id = 'm1'): Promise<string> =>
  makeProject({
    [`scripts/migrations/${id}.mjs`]: `import { defineMigration, merge, references, schema, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${steps}] });
`,
  });

const UP = "transform({ collection: 'people', up: (doc) => ({ ...doc, mail: doc.mail.toLowerCase() }) })";

describe.concurrent('schema steps', () => {
  const scratch = useScratch('schema', () => inject('mongoUri'));

  async function place(steps: string, people: readonly Document[] = PEOPLE) {
    const { db, uri } = scratch.make();
    await db.createCollection('people');
    if (people.length > 0) await db.collection('people').insertMany(people.map((one) => ({ ...one })));
    const cwd = await project(steps);
    return { db, uri, cwd, m1: libraryAt({ cwd, uri }) };
  }

  const PEOPLE = [
    { _id: 1, mail: 'Ana@X.test' },
    { _id: 2, mail: 'bo@x.test', age: 4 },
  ];

  test('are done at their places, proved, and taken back: the same collections, options, indexes and documents', async () => {
    const { db, m1 } = await place(`
      schema.createCollection({ name: 'contacts', options: { validator: { name: { $exists: true } } } }),
      schema.createIndex({ collection: 'contacts', key: { name: 1 } }),
      schema.dropIndex({ collection: 'people', name: 'odd' }),
      ${UP},
      schema.createIndex({ collection: 'people', key: { mail: 1 }, options: { unique: true } }),
      schema.setValidator({ collection: 'people', validator: { mail: { $type: 'string' } } }),
      schema.dropCollection({ name: 'attic', keepAs: 'attic_old' })`);
    await db.command({ createIndexes: 'people', indexes: [{ key: { age: 1.5 }, name: 'odd', sparse: true }] });
    await db.command({ collMod: 'people', validator: { _id: { $exists: true } }, validationLevel: 'moderate' });
    await db.collection('attic').insertOne({ dust: 1 });
    const before = [await structureOf(db), await hashOf(db, 'people')];
    const dry = await m1.dryRun();
    expect(dry['schema']).toMatchObject([
      { text: 'create the collection contacts', verdict: 'would be done', missingRights: [] },
      { text: 'create the index name_1 on contacts', verdict: 'later' },
      { text: 'drop the index odd of people', verdict: 'would be done' },
      { text: 'create the unique index mail_1 on people', verdict: 'would be done' },
      { verdict: 'would be done', warnings: [] },
      { text: 'drop the collection attic, kept as attic_old', warnings: [expect.stringMatching(/change streams/)] },
    ]);
    expect([await structureOf(db), await hashOf(db, 'people')]).toEqual(before);

    const run = await m1.run();
    expect(run).toMatchObject({ state: 'completed', changed: 1 });
    expect((run['schema'] as { state: string }[]).map(({ state }) => state)).toEqual(Array(6).fill('done'));
    expect(await db.collection('people').indexExists('mail_1')).toBe(true);
    expect(await db.collection('people').indexExists('odd')).toBe(false);
    expect((await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name)).not.toContain('attic');
    await expect(db.collection('people').insertOne({ mail: 7 })).rejects.toMatchObject({ code: 121 });
    expect(await m1.verify()).toMatchObject({ ok: true });
    const after = (await m1.dryRun())['schema'] as { verdict: string }[];
    expect(after.map(({ verdict }) => verdict)).toEqual(Array(6).fill('there'));

    expect(await m1.rollback()).toMatchObject({ state: 'rolled-back', restored: 1, identical: true });
    expect([await structureOf(db), await hashOf(db, 'people')]).toEqual(before);
    expect(await brokenHistory(db)).toEqual([]);
    expect(await m1.run()).toMatchObject({ state: 'completed', changed: 1 });
  });

  test('alone make a migration', async () => {
    const { db, m1 } = await place("schema.createIndex({ collection: 'people', key: { age: -1 } })");
    const before = await structureOf(db);
    expect(await m1.run()).toMatchObject({ state: 'completed', scanned: 0, schema: [{ state: 'done' }] });
    expect(await m1.verify()).toMatchObject({ ok: true });
    await db.collection('people').dropIndex('age_-1');
    expect(await m1.verify()).toMatchObject({ ok: false });
    expect(await m1.rollback()).toMatchObject({ state: 'rolled-back', identical: true });
    expect(await structureOf(db)).toEqual(before);
  });

  test('leave what was so already, also on the way back', async () => {
    const { db, m1 } = await place("schema.createIndex({ collection: 'people', key: { mail: 1 } })");
    await db.collection('people').createIndex({ mail: 1 });
    expect(await m1.run()).toMatchObject({ state: 'completed', schema: [{ state: 'there' }] });
    expect(await m1.rollback()).toMatchObject({ identical: true });
    expect(await db.collection('people').indexExists('mail_1')).toBe(true);
  });

  test.each([
    [
      "schema.createIndex({ collection: 'people', key: { mail: 1 }, options: { unique: true } })",
      /a key in people that more/,
    ],
    ["schema.createIndex({ collection: 'nobody', key: { a: 1 } })", /no collection nobody/],
    ["schema.dropIndex({ collection: 'people', name: 'none' })", /no such index \(there are _id_\)/],
    ["schema.createCollection({ name: 'people' })", /people is there already/],
    ["schema.renameCollection({ from: 'people', to: 'taken' })", /taken is there already/],
    ["schema.setValidator({ collection: 'nobody', validator: {} })", /no collection nobody/],
  ])('%s is refused before anything is touched', async (steps, message) => {
    const { db, m1 } = await place(steps, [
      { _id: 1, mail: 'a' },
      { _id: 2, mail: 'a' },
    ]);
    await db.createCollection('taken');
    const before = await structureOf(db);
    expect(await m1.dryRun()).toMatchObject({
      schema: [{ verdict: 'refused', refusal: expect.stringMatching(message) }],
    });
    await expect(m1.run()).rejects.toMatchObject({ code: 'GODWIT_TARGET', message: expect.stringMatching(message) });
    expect(await structureOf(db)).toEqual(before);
    expect(await db.collection('migrations').countDocuments()).toBe(0);
  });

  test('behind documents wait for what these make; doubles that are left stop the run, which goes on once they are gone', async () => {
    const index = "schema.createIndex({ collection: 'people', key: { mail: 1 }, options: { unique: true } })";
    const people = [...PEOPLE, { _id: 3, mail: 'BO@x.test' }];
    const { db, m1 } = await place(`${UP}, ${index}`, people);
    expect(await m1.dryRun()).toMatchObject({ schema: [{ verdict: 'would be done' }] });
    await expect(m1.run()).rejects.toMatchObject({
      code: 'GODWIT_SCHEMA',
      message: expect.stringMatching(/a key in people/),
    });
    await db.collection('people').deleteOne({ _id: 3 } as Document);
    expect(await m1.run()).toMatchObject({ state: 'completed', schema: [{ state: 'done' }] });
    expect(await m1.rollback()).toMatchObject({ state: 'rolled-back', goneSince: 1 });
    expect(await db.collection('people').indexExists('mail_1')).toBe(false);
  });

  test('leave a collection that the application has written to, and say so; empty, it goes', async () => {
    const { db, m1 } = await place("schema.createCollection({ name: 'contacts' })");
    await m1.run();
    await db.collection('contacts').insertOne({ mine: 1 });
    expect(await m1.rollback()).toMatchObject({ identical: false, schema: [{ left: 'it holds documents' }] });
    expect(await db.collection('contacts').countDocuments()).toBe(1);
  });

  test.each([
    ["schema.setValidator({ collection: 'people', validator: { $foo: 1 } })", /a validator on people .*found: /],
    ["schema.createCollection({ name: 'contacts', options: { validator: { a: { $foo: 1 } } } })", /contacts, found: /],
  ])('%s is refused as broken', async (steps, message) => {
    const { db, m1 } = await place(steps);
    const broken = { code: 'GODWIT_MIGRATION_BROKEN', message: expect.stringMatching(message) };
    await expect(m1.dryRun()).rejects.toMatchObject(broken);
    await expect(m1.run()).rejects.toMatchObject(broken);
    expect(await db.collection('migrations').countDocuments()).toBe(0);
  });

  test('that the server refuses stop the run before its documents, as often as it is tried, and let it go back', async () => {
    const { db, m1 } = await place(
      `schema.createCollection({ name: 'contacts' }),
      schema.createIndex({ collection: 'people', key: { age: 1 }, options: { expireAfterSeconds: -5 } }), ${UP}`,
    );
    const before = await structureOf(db);
    const refused = {
      code: 'GODWIT_SCHEMA',
      message: expect.stringMatching(/index age_1 on people, found that the server/),
    };
    await expect(m1.run()).rejects.toMatchObject(refused);
    await expect(m1.run()).rejects.toMatchObject(refused);
    expect(await db.collection('people').countDocuments({ mail: 'Ana@X.test' })).toBe(1);
    expect(await db.collection('migrations').findOne()).toMatchObject({ state: 'failed', steps: [] });
    expect(await m1.rollback()).toMatchObject({ state: 'rolled-back', identical: true });
    expect(await structureOf(db)).toEqual(before);
    expect(await brokenHistory(db)).toEqual([]);
  });

  test('before documents do not keep a rollback from being forced afterwards', async () => {
    const { db, uri, cwd, m1 } = await place(
      `schema.createCollection({ name: 'contacts' }),
      merge({ into: 'contacts', from: { people: { map: ({ mail }) => ({ mail }) } }, identity: [({ mail }) => mail] }),
      references({ collection: 'bills', path: 'who', from: 'people', to: 'contacts' })`,
    );
    await db.collection('bills').insertOne({ _id: 1, who: 9 } as unknown as Document);
    await db.collection('people').insertOne({ _id: 9, mail: 'ana@x.test' } as unknown as Document);
    await db.collection('people').updateOne({ _id: 1 } as Document, { $set: { mail: 'ana@x.test' } });
    expect(await m1.run()).toMatchObject({ state: 'completed', inserted: 2, changed: 1 });
    await db.collection('bills').updateOne({ _id: 1 } as Document, { $set: { who: 7 } });
    expect(await m1.rollback()).toMatchObject({ state: 'rolled-back', removed: 2, conflicts: 1 });
    await using g = await godwit({ cwd, uri });
    expect(await g.rollback('m1', { onConflict: 'force' }).result).toMatchObject({
      state: 'rolled-back',
      conflicts: 0,
    });
    expect(await db.collection('bills').findOne()).toEqual({ _id: 1, who: 9 });
    expect(await db.listCollections({ name: 'contacts' }).toArray()).toEqual([]);
  });

  test('bind the migrations that they depend on', async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(PEOPLE.map((one) => ({ ...one })) as unknown as Document[]);
    const index = "schema.createIndex({ collection: 'people', key: { mail: 1 } })";
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${UP}] });
`,
      'scripts/migrations/m2.mjs': `import { defineMigration, schema } from 'godwit';
export default defineMigration({ description: 'a test', dependsOn: ['m1'], steps: [${index}] });
`,
    });
    const [m1, m2] = [libraryAt({ cwd, uri }, 'm1'), libraryAt({ cwd, uri }, 'm2')];
    await m1.run();
    await m2.run();
    await expect(m1.rollback()).rejects.toMatchObject({ code: 'GODWIT_DEPENDENCY' });
    await m2.rollback();
    expect(await m1.rollback()).toMatchObject({ identical: true });
  });

  test('warn of documents that a validator does not fit, and leave one that somebody else has set since', async () => {
    const { db, m1 } = await place(
      "schema.setValidator({ collection: 'people', validator: { age: { $type: 'number' } }, level: 'moderate' })",
    );
    expect(await m1.dryRun()).toMatchObject({
      schema: [
        {
          verdict: 'would be done',
          warnings: ['1 documents of people do not fit the validator'],
          first: [{ $numberInt: '1' }],
        },
      ],
    });
    expect(await m1.run()).toMatchObject({ state: 'completed' });
    await db.command({ collMod: 'people', validator: { age: 1 } });
    expect(await m1.rollback()).toMatchObject({ identical: false, schema: [{ left: expect.stringMatching(/since/) }] });
  });

  test('make the collection that a merge fills, and take it away again', async () => {
    const { db, uri } = scratch.make();
    await db.collection('clients').insertMany([
      { _id: 1, mail: 'A@x' },
      { _id: 2, mail: 'a@x' },
    ] as unknown as Document[]);
    await db.collection('bills').insertOne({ _id: 1, client: 2 } as unknown as Document);
    const cwd = await project(`
      schema.createCollection({ name: 'contacts' }),
      merge({ into: 'contacts', from: { clients: { map: ({ mail }) => ({ mail: mail.toLowerCase() }) } }, identity: [({ mail }) => mail] }),
      references({ collection: 'bills', path: 'client', from: 'clients', to: 'contacts' }),
      schema.createIndex({ collection: 'contacts', key: { mail: 1 }, options: { unique: true } })`);
    const m1 = libraryAt({ cwd, uri });
    const before = await structureOf(db);
    expect(await m1.dryRun()).toMatchObject({ wouldInsert: 1, wouldChange: 1, wouldFail: 0 });
    expect(await m1.run()).toMatchObject({ state: 'completed', inserted: 1, changed: 1 });
    expect(await db.collection('bills').findOne()).toEqual({ _id: 1, client: 1 });
    expect(await m1.verify()).toMatchObject({ ok: true });
    expect(await m1.rollback()).toMatchObject({ state: 'rolled-back', removed: 1, restored: 1, identical: true });
    expect(await structureOf(db)).toEqual(before);
  });
});
