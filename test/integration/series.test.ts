/** Steps of one collection that follow each other: one write, in their order, and one way back. */
import type { Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { brokenInvariants } from '../support/crash.js';
import { libraryAt } from '../support/library.js';
import { auditEntries, brokenHistory, brokenSums } from '../support/observe.js';
import { runProcess } from '../support/process.js';
import { makeProject } from '../support/project.js';
import { rawInsert } from '../support/raw-insert.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { heldAt } from '../support/trouble.js';

const project = (steps: string): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, transform, pipeline, references } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${steps}] });
`,
  });

/** A function, a pipeline whose filter is about what the function makes, and references. */
const STEPS = `
  transform({
    collection: 'people',
    filter: { mail: { $exists: true } },
    up: ({ mail, ...rest }, { reject }) => (mail === '' ? reject('no mail') : { ...rest, email: mail.toLowerCase() }),
  }),
  pipeline({
    collection: 'people',
    filter: { email: { $exists: true }, name: { $exists: false } },
    update: [{ $set: { name: { $concat: ['$first', ' ', '$last'] } } }, { $unset: ['first', 'last'] }],
  }),
  references({ collection: 'people', path: 'team', to: 'teams', by: 'no' })`;

const RUN = ['run', 'm1', '--progress', 'none'];

interface Person {
  _id: number;
  [field: string]: unknown;
}

const put = (field: string): string => `transform({ collection: 'people', up: (doc) => ({ ...doc, ${field}: 1 }) })`;

/** `{_id: 2, u: undefined}`: legal for the server, and nothing that JavaScript writes again. */
const ODD = Buffer.from([18, 0, 0, 0, 0x10, 0x5f, 0x69, 0x64, 0, 2, 0, 0, 0, 0x06, 0x75, 0, 0]);
ODD.writeInt32LE(ODD.length);

describe('steps of one collection', () => {
  const scratch = useScratch('series', () => inject('mongoUri'));

  async function place(people: readonly Person[], steps = STEPS) {
    const { db, uri, name } = scratch.make();
    const teams = [{ _id: 'a', no: 1 } as Document, { _id: 'b', no: 2 } as Document];
    await db.collection('teams').insertMany(teams);
    await db.collection('teams').createIndex({ no: 1 });
    await db.collection<Person>('people').insertMany(people.map((person) => ({ ...person })));
    const at = { uri, cwd: await project(steps) };
    return { ...at, db, name, m1: libraryAt(at), people: db.collection<Person>('people') };
  }

  test('are taken in their order, each on what the one before has made, and written once', async () => {
    const at = await place([
      { _id: 1, mail: 'A@X.test', first: 'Ana', n: 1, last: 'Lima', team: 1 },
      // The second step's filter is about the result of the first, which leaves these alone.
      { _id: 2, first: 'Bo', last: 'Ek', team: 2 },
      { _id: 3, mail: 'C@X.test', name: 'Cy', team: 9 },
      { _id: 4, note: 'nothing to do' },
    ]);
    const before = await hashOf(at.db, 'people');
    expect(await at.m1.dryRun()).toMatchObject({
      ...{ scanned: 4, wouldChange: 3, wouldFail: 0, idempotent: true, reversible: 'audit' },
      references: [{ keys: 2, dangling: 1 }],
    });
    const counts = { scanned: 4, changed: 3, unchanged: 1, failed: 0 };
    expect(await at.m1.run()).toMatchObject({ state: 'completed', ...counts });
    const found = await at.people.find().sort({ _id: 1 }).toArray();
    expect(found.map((person) => JSON.stringify(person))).toEqual([
      '{"_id":1,"n":1,"team":"a","email":"a@x.test","name":"Ana Lima"}',
      '{"_id":2,"first":"Bo","last":"Ek","team":"b"}',
      '{"_id":3,"name":"Cy","team":9,"email":"c@x.test"}',
      '{"_id":4,"note":"nothing to do"}',
    ]);
    expect(await auditEntries(at.db)).toHaveLength(3);
    expect(await at.m1.dryRun()).toMatchObject({ wouldChange: 0 });
    expect(await at.m1.verify({ full: true })).toMatchObject({ ok: true });
    expect(await at.m1.rollback()).toMatchObject({ restored: 3, identical: true });
    expect(await hashOf(at.db, 'people')).toBe(before);
  });

  test('leave a document on which one of them fails as it was, and name the step', async () => {
    const at = await place([
      { _id: 1, mail: '', team: 1 },
      { _id: 2, mail: 'B@X.test', first: 7, last: 'Ek', team: 1 },
      { _id: 3, mail: 'C@X.test', first: 'Cy', last: 'Oz', team: 1 },
    ]);
    expect(await at.m1.run({ maxFailures: 9 })).toMatchObject({ changed: 1, failed: 2 });
    const failures = await at.db.collection('migrations_failures').find().sort({ documentId: 1 }).toArray();
    expect(failures.map(({ code, message }) => [code, message])).toEqual([
      ['GODWIT_REJECTED', expect.stringMatching(/^step 1 of people: .*no mail/)],
      ['GODWIT_PIPELINE', expect.stringMatching(/^step 2 of people: the pipeline fails on it/)],
    ]);
    expect(await at.people.findOne({ _id: 2 })).toEqual({ _id: 2, mail: 'B@X.test', first: 7, last: 'Ek', team: 1 });
    await at.people.updateOne({ _id: 2 }, { $set: { first: 'Bo' } });
    await at.people.updateOne({ _id: 1 }, { $set: { mail: 'A@X.test', name: 'A' } });
    expect(await at.m1.retry()).toMatchObject({ failed: 0, changed: 3 });
    expect(await at.people.countDocuments({ team: 'a', email: { $exists: true } })).toBe(3);
  });

  test('keep what JavaScript cannot carry', async () => {
    const at = await place([{ _id: 1 }], `${put('a')}, ${put('b')}`);
    await rawInsert(at.uri, at.name, 'people', [ODD]);
    const before = await hashOf(at.db, 'people');
    expect(await at.m1.run()).toMatchObject({ changed: 2, failed: 0 });
    expect(await at.people.countDocuments({ u: { $type: 6 }, a: 1, b: 1 })).toBe(1);
    expect(await at.m1.rollback()).toMatchObject({ restored: 2, identical: true });
    expect(await hashOf(at.db, 'people')).toBe(before);
  });

  test('put it aside where the server would have to be asked about it in between', async () => {
    const update = `pipeline({ collection: 'people', update: [{ $set: { b: 1 } }] })`;
    const at = await place([{ _id: 1 }], `${put('a')}, ${update}`);
    await rawInsert(at.uri, at.name, 'people', [ODD]);
    expect(await at.m1.run({ maxFailures: 1 })).toMatchObject({ changed: 1, failed: 1 });
    const failure = await at.db.collection('migrations_failures').findOne();
    expect(failure).toMatchObject({ code: 'GODWIT_NOT_CARRIED', documentId: 2 });
    expect(failure?.['message']).toMatch(/goes through several steps/);
  });

  test('have a down when all of them have one: for documents that came in the new shape', async () => {
    const step = (from: string, to: string): string => `transform({
      collection: 'people',
      up: ({ ${from}, ...rest }) => (${from} === undefined ? rest : { ...rest, ${to}: ${from} }),
      down: ({ ${to}, ...rest }) => (${to} === undefined ? rest : { ...rest, ${from}: ${to} }),
    })`;
    const at = await place([{ _id: 1, a: 1 }], `${step('a', 'b')}, ${step('b', 'c')}`);
    expect(await at.m1.dryRun()).toMatchObject({ reversible: 'audit and down' });
    await at.m1.run();
    await at.people.insertOne({ _id: 2, c: 5 });
    expect(await at.m1.rollback()).toMatchObject({ restored: 1, byDown: 1, noBefore: 0, conflicts: 0 });
    expect(await at.people.find().sort({ _id: 1 }).toArray()).toEqual([
      { _id: 1, a: 1 },
      { _id: 2, a: 5 },
    ]);
  });

  test('are killed and go on; what the application writes meanwhile goes through all of them', {
    tags: ['F48', 'P3', 'P7'],
  }, async () => {
    const count = 400;
    const people = Array.from({ length: count }, (_, _id) => ({
      _id,
      mail: `P${_id}@X.test`,
      first: 'A',
      last: 'B',
      team: 1,
    }));
    const at = await place(people);
    const args = [...RUN, '--batch-size', '20', '--workers', '2'];
    for (const point of ['batch:after-commit', 'batch:after-data']) {
      const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:5:kill` };
      expect((await runProcess(args, { ...at, env })).signal).toBe('SIGKILL');
      expect(await brokenInvariants(at.db)).toEqual([]);
    }
    const told = await heldAt(at, { at: 'batch:after-commit:3', args: [...args, '--json'] }, async () => {
      // An old version of the application saves one that is through, and inserts another.
      expect(await at.people.findOne({ _id: 0 })).toMatchObject({ name: 'A B' });
      await at.people.replaceOne({ _id: 0 }, { mail: 'OLD@X.test', first: 'O', last: 'D', team: 2 });
      await at.people.insertOne({ _id: -1, mail: 'NEW@X.test', first: 'N', last: 'W', team: 2 });
    });
    expect([told.code, told.json]).toMatchObject([0, { state: 'completed', failed: 0 }]);
    const shape = { email: /x\.test$/, name: { $exists: true }, team: { $in: ['a', 'b'] } };
    expect(await at.people.countDocuments(shape)).toBe(count + 1);
    expect(await at.people.findOne({ _id: 0 })).toEqual({ _id: 0, team: 'b', email: 'old@x.test', name: 'O D' });
    expect([...(await brokenInvariants(at.db)), ...(await brokenHistory(at.db)), ...(await brokenSums(at.db))]).toEqual(
      [],
    );
    expect(await at.m1.rollback()).toMatchObject({
      state: 'rolled-back',
      // What was saved whole in the old shape is the application's.
      conflicts: 1,
    });
    expect(await at.people.countDocuments({ mail: { $exists: true }, first: { $exists: true } })).toBe(count + 1);
  });

  const NOOP = (collection: string): string => `transform({ collection: '${collection}', up: (doc) => doc })`;

  test.each([
    [
      'others between them',
      [NOOP('people'), NOOP('teams'), NOOP('people')].join(),
      /the steps of a collection one after the other .* found others between those of "people"/,
    ],
    [
      'a filter that cannot be asked in between',
      `${NOOP('people')}, transform({ collection: 'people', filter: { $text: { $search: 'x' } }, up: (doc) => doc })`,
      /a filter that can choose among the results of other steps of people/,
    ],
  ])('are refused with %s', async (_, steps, says) => {
    const at = await place([{ _id: 1 }], steps);
    const message = expect.stringMatching(says) as unknown;
    for (const work of [at.m1.run, at.m1.dryRun])
      await expect(work()).rejects.toMatchObject({ code: 'GODWIT_MIGRATION_BROKEN', exitCode: 2, message });
    expect(await at.db.collection('migrations').countDocuments()).toBe(0);
  });
});
