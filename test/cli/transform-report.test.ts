import { describe, expect, inject, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { makeMigration } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

interface Person {
  _id: number;
  mail: string;
}

describe('a transform that fails one document of three', () => {
  const scratch = useScratch('one_fails', () => inject('mongoUri'));
  const people: readonly Person[] = [1, 2, 3].map((_id) => ({ _id, mail: `A${_id}@x.test` }));

  test('stops at it by default, and goes on past it when failures are allowed', async () => {
    const { db, uri } = scratch.make();
    await db.collection<Person>('people').insertMany([...people]);
    const cwd = await makeMigration(
      `(doc, { reject }) => (doc._id === 2 ? reject('no') : { ...doc, mail: doc.mail.toLowerCase() })`,
    );
    const stopped = await runJson(['run', 'm1'], { cwd, uri });
    expect([stopped.code, stopped.json]).toMatchObject([1, { state: 'failed', changed: 1, failed: 1 }]);
    const done = await runJson(['run', 'm1', '--max-failures', '1'], { cwd, uri });
    expect([done.code, done.json]).toMatchObject([4, { state: 'completed', changed: 2, failed: 1, resumed: true }]);
    expect((await db.collection('people').distinct('mail')).sort()).toEqual(['A2@x.test', 'a1@x.test', 'a3@x.test']);
  });

  test('shows a person the code, the place and what to do next', async () => {
    const { db, uri } = scratch.make();
    await db.collection<Person>('people').insertMany([...people]);
    const cwd = await makeMigration(`(doc) => { if (doc._id === 2) throw new Error('boom'); return doc; }`);
    const { code, stderr } = await runCommand(['run', 'm1', '--progress', 'none'], { cwd, uri });
    expect(code).toBe(1);
    expect(stderr).toContain('error GODWIT_TRANSFORM_THREW: wanted a document from up(), found Error: boom');
    expect(stderr).toContain('document  _id 2');
    expect(stderr).toMatch(/> 4 \| .*boom/);
    expect(stderr).toMatch(/next: .*\n.*--max-failures/);
  });
});

describe('a transform that drops a value', () => {
  const scratch = useScratch('drops', () => inject('mongoUri'));

  test('is warned of it in the dry run, unless `drops` names the field or the value moves', async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertOne({ fax: 'F1', pager: 'P1', first: 'Ana', last: 'Lima', mail: 'a@x.test' });
    const cwd = await makeMigration(
      `({ fax, pager, first, last, ...doc }) => ({ ...doc, name: doc.name ?? [first, last].join(' ') })`,
      `collection: 'people', drops: ['pager']`,
    );
    const { code, json } = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    expect([code, json['disappearing']]).toEqual([0, { fax: 1 }]);
    const { stdout } = await runCommand(['run', 'm1', '--dry-run'], { cwd, uri });
    expect(stdout).toMatch(/values that disappear\n {2}! fax +1 values found nowhere afterwards/);
    expect(stdout).toContain(`drops: ['fax']`);
  });
});

describe('a transform whose result changes again', () => {
  const scratch = useScratch('impure', () => inject('mongoUri'));

  test.each([
    ['it counts up', '(doc) => ({ ...doc, n: doc.n + 1 })', true],
    ['it throws dice', '(doc) => ({ ...doc, n: Math.random() })', false],
  ])('is found out by the dry run, and refused by a run: %s', { tags: ['F50'] }, async (_what, up, deterministic) => {
    const { db, uri } = scratch.make();
    const people = db.collection<{ _id: number; n: number }>('people');
    await people.insertMany([1, 2].map((_id) => ({ _id, n: _id })));
    const cwd = await makeMigration(up);
    const dry = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    expect([dry.code, dry.json]).toMatchObject([4, { idempotent: false, deterministic, impureFields: ['n'] }]);
    const run = await runJson(['run', 'm1'], { cwd, uri });
    expect([run.code, run.json]).toMatchObject([
      1,
      { state: 'failed', changed: 0, error: { code: 'GODWIT_NOT_IDEMPOTENT', message: expect.stringMatching(/: n$/) } },
    ]);
    expect(await people.distinct('n')).toEqual([1, 2]);
  });
});
