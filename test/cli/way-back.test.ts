/** The way back is always there, and reports what it did. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Db, Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

interface Doc extends Document {
  readonly _id: number;
}

const file = (
  steps: string,
): string => `import { defineMigration, merge, pipeline, schema, script, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${steps}] });
`;

const MARK = (name: string): string =>
  `transform({ collection: 'people', up: (doc) => (doc.${name} ? doc : { ...doc, ${name}: 'x', n: doc.n * 2 }) })`;

describe.concurrent('the way back', () => {
  const scratch = useScratch('wayback', () => inject('mongoUri'));

  async function place(steps: Readonly<Record<string, string>>, fill?: (db: Db) => Promise<unknown>) {
    const { db, uri } = scratch.make();
    const people = db.collection<Doc>('people');
    await people.insertMany(Array.from({ length: 6 }, (_, n) => ({ _id: n, n, mail: `A${n}@X.test` })));
    await fill?.(db);
    const cwd = await makeProject(
      Object.fromEntries(Object.entries(steps).map(([id, text]) => [`scripts/migrations/${id}.mjs`, file(text)])),
    );
    const at = { cwd, uri };
    const godwit = async (...args: readonly string[]) => {
      const progress = ['run', 'rollback'].includes(String(args[0])) ? ['--progress', 'none'] : [];
      const { code, json } = await runJson([...args, ...progress], at);
      return { ...json, exit: code } as Record<string, unknown> & {
        exit: number | null;
        error?: { code: string; message: string };
      };
    };
    const lose = (id: string): Promise<void> => rm(join(cwd, `scripts/migrations/${id}.mjs`));
    const text = async (...args: readonly string[]): Promise<string> => (await runCommand(args, at)).stdout;
    return { db, people, cwd, godwit, lose, text };
  }

  describe('needs no file of the migration:', () => {
    test.each<[string, string]>([
      ['a transform', MARK('a')],
      ['a pipeline', "pipeline({ collection: 'people', update: [{ $set: { mail: { $toLower: '$mail' } } }] })"],
      [
        'a script',
        "script({ collections: ['people'], async up(ctx) { await ctx.update('people', {}, (doc) => ({ ...doc, a: 1 })); await ctx.remove('people', { _id: 5 }); } })",
      ],
      [
        'a merge whose sources go',
        "merge({ into: 'contacts', from: { people: { map: ({ mail }) => ({ mail }) } }, identity: [({ mail }) => mail], source: 'remove' })",
      ],
      [
        'schema steps around documents',
        `schema.createIndex({ collection: 'people', key: { mail: 1 } }), schema.setValidator({ collection: 'people', validator: { mail: { $type: 'string' } } }), ${MARK('a')}, schema.dropIndex({ collection: 'people', name: 'n_1' })`,
      ],
    ])('%s goes back to the same bytes', async (_, steps) => {
      const { db, godwit, lose, text } = await place({ m1: steps }, async (base) => {
        await base.createCollection('contacts');
        await base.collection('people').createIndex({ n: 1 });
      });
      const state = async () => [
        await hashOf(db, 'people'),
        await hashOf(db, 'contacts'),
        (await db.collection('people').indexes()).map(({ name }) => name).sort(),
        (await db.listCollections({ name: 'people' }).toArray()).map((one) =>
          'options' in one ? (one.options?.['validator'] ?? null) : null,
        ),
      ];
      const before = await state();
      expect((await godwit('run', 'm1')).exit).toBe(0);
      expect(await state()).not.toEqual(before);
      await lose('m1');
      expect(await text('list')).toContain('file missing');
      expect(await text('status', 'm1')).toContain('missing: rollback and status need none');
      expect(await godwit('rollback', 'm1')).toMatchObject({ exit: 0, identical: true, state: 'rolled-back' });
      expect(await state()).toEqual(before);
    });

    test('verify says what it could look at, and what it could not', async () => {
      const { people, godwit, lose } = await place({ m1: MARK('a') });
      await godwit('run', 'm1');
      await lose('m1');
      await people.updateOne({ _id: 1 }, { $set: { later: true } });
      const verified = await godwit('verify', 'm1');
      expect([verified.exit, verified['ok']]).toEqual([6, false]);
      expect(verified['checks']).toEqual(
        expect.arrayContaining([
          { name: 'people: documents as the run left them, by their hashes', ok: true, expected: 'any', found: 5 },
          { name: 'audit entries of changed documents', ok: true, expected: 6, found: 6 },
          { name: 'transform', ok: false, expected: 'run again', found: 'not run again: file missing' },
        ]),
      );
    });

    test('a run that nobody can finish is closed by forget, with its reason, and another may begin', async () => {
      const { db, godwit, lose, cwd } = await place({ m1: MARK('a') });
      expect((await godwit('run', 'm1', '--limit', '2')).exit).toBe(7);
      await lose('m1');
      expect(await godwit('forget', 'm1', '--because', ' ')).toMatchObject({
        exit: 2,
        error: { code: 'GODWIT_USAGE' },
      });
      expect(await godwit('forget', 'm1', '--because', 'the branch is gone')).toMatchObject({
        exit: 0,
        state: 'stopped',
        changed: 2,
      });
      expect((await godwit('list'))['migrations']).toEqual([]);
      const [run] = await db.collection('migrations').find().toArray();
      expect(run?.['history'].at(-1)).toMatchObject({ because: 'forgotten: the branch is gone' });
      await writeFile(join(cwd, 'scripts/migrations/m1.mjs'), file(MARK('a')));
      expect(await godwit('run', 'm1')).toMatchObject({ exit: 0, changed: 4 });
      expect(await godwit('forget', 'm1', '--because', 'why not')).toMatchObject({
        exit: 2,
        error: { code: 'GODWIT_USAGE' },
      });
    });
  });

  describe('is gone once', () => {
    test('what the application writes after a rollback is not overwritten by another one, forced or not', async () => {
      const { people, godwit } = await place({ m1: MARK('a') });
      await godwit('run', 'm1');
      expect(await godwit('rollback', 'm1')).toMatchObject({ exit: 0, identical: true });
      await people.updateMany({}, { $set: { n: 777, a: 'mine' } });
      expect(await godwit('rollback', 'm1', '--on-conflict', 'force')).toMatchObject({
        exit: 0,
        restored: 6,
        overwritten: 0,
      });
      expect(await people.countDocuments({ n: 777, a: 'mine' })).toBe(6);
    });

    test('a forced one overwrites what the first has left in conflict, and nothing else', async () => {
      const { people, godwit, text } = await place({ m1: MARK('a') });
      await godwit('run', 'm1');
      await people.updateOne({ _id: 1 }, { $set: { n: 500 } });
      expect(await godwit('rollback', 'm1')).toMatchObject({ exit: 4, restored: 5, conflicts: 1, keptFields: 0 });
      await people.updateOne({ _id: 2 }, { $set: { n: 600 } });
      expect(await text('rollback', 'm1', '--on-conflict', 'force', '--progress', 'none')).toContain(
        '1 over later edits, as it was asked for',
      );
      expect(
        await people
          .find({ _id: { $in: [1, 2] } })
          .map(({ n }) => n)
          .toArray(),
      ).toEqual([1, 600]);
    });
  });

  test('one document goes back whatever a validator says that came since, as all of them do', async () => {
    const { db, people, godwit } = await place({ m1: MARK('a') });
    await godwit('run', 'm1');
    await db.command({ collMod: 'people', validator: { a: 'x' } });
    expect(await godwit('rollback', 'm1', '--only', '1')).toMatchObject({ exit: 0, restored: 1, conflicts: 0 });
    expect(await people.findOne({ _id: 1 })).toEqual({ _id: 1, n: 1, mail: 'A1@X.test' });
  });

  test('is refused under a later migration of the same documents, by its name, and its dry run says so', async () => {
    const { godwit, people } = await place({ m1: MARK('a'), m2: MARK('b') });
    const before = await people.find().toArray();
    await godwit('run', 'm1');
    await godwit('run', 'm2');
    const refused = await godwit('rollback', 'm1');
    expect(refused).toMatchObject({ exit: 2, error: { code: 'GODWIT_DEPENDENCY' } });
    expect(refused.error?.message).toContain('found m2 completed on people');
    expect((await godwit('rollback', 'm1', '--dry-run'))['warnings']).toEqual([
      'm2 has run later on the same collection: roll it back first',
    ]);
    expect((await godwit('rollback', 'm2')).exit).toBe(0);
    expect(await godwit('rollback', 'm1')).toMatchObject({ exit: 0, identical: true });
    expect(await people.find().toArray()).toEqual(before);
  });

  describe('over a TTL index', () => {
    const past = '2020-01-01T00:00:00.000Z';
    const fill = async (db: Db): Promise<void> => {
      const later = new Date(Date.now() + 86_400_000).toISOString();
      await db.collection<Doc>('sessions').insertMany([
        { _id: 1, at: past },
        { _id: 2, at: later },
        { _id: 3, list: [past, later] },
      ]);
    };

    test('documents that it would delete are counted beforehand: a text becomes a date that has passed', async () => {
      const steps = `transform({ collection: 'sessions', up: (doc) => (doc.at ? { ...doc, at: new Date(doc.at) } : { ...doc, at: doc.list?.map((one) => new Date(one)) }) })`;
      const { godwit } = await place({ m1: steps }, async (db) => {
        await fill(db);
        await db.collection('sessions').createIndex({ at: 1 }, { expireAfterSeconds: 0 });
      });
      const look = await godwit('run', 'm1', '--dry-run');
      expect(look).toMatchObject({
        wouldExpire: 2,
        warnings: ['2 documents of sessions would be DELETED at once by the TTL index at_1: the date has passed'],
      });
    });

    test('so are those of one that a step makes, and its rollback does not claim that nothing is lost', async () => {
      const steps =
        "schema.createIndex({ collection: 'sessions', key: { at: 1 }, options: { expireAfterSeconds: 3600 } })";
      const { godwit } = await place({ m1: steps }, async (db) => {
        await db.collection<Doc>('sessions').insertMany([
          { _id: 1, at: new Date(past) },
          { _id: 2, at: new Date() },
        ]);
      });
      const look = await godwit('run', 'm1', '--dry-run');
      expect(look['schema']).toMatchObject([
        { warnings: ['1 document of sessions would be DELETED at once by this TTL index: the date has passed'] },
      ]);
      expect((await godwit('run', 'm1')).exit).toBe(0);
      expect(await godwit('rollback', 'm1')).toMatchObject({
        identical: false,
        warnings: ['the run made a TTL index: what it has deleted meanwhile is not known, and not back'],
      });
    });
  });
});
