/** `run --all`: pending migrations in their order, and the way back against it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, inject, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited } from '../support/crash.js';
import { holdAt } from '../support/held.js';
import { makeProject } from '../support/project.js';
import { errorOf, expectRefusal } from '../support/refusal.js';
import { type ScratchDatabase, useScratch } from '../support/scratch.js';

/** Each marks the documents of its collection with what it has found marked by the one that it depends on. */
const file = (name: string, more = '', up = `(doc) => ({ ...doc, ${name}: true })`): Record<string, string> => ({
  [`scripts/migrations/${name}.mjs`]: `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: '${name}', ${more} steps: [transform({ collection: 'things', up: ${up} })] });
`,
});

const ALL = ['run', '--all', '--progress', 'none'];

interface Entry {
  readonly migration: string;
  readonly share: string;
  readonly result: { readonly state: string; readonly changed: number } | null;
}

const told = (json: Record<string, unknown>): string[] =>
  (json['migrations'] as Entry[]).map(
    ({ migration, share, result }) => `${migration} ${share} ${result?.state ?? '-'}`,
  );

describe('run --all', () => {
  const scratch = useScratch('all', () => inject('mongoUri'));
  let at: ScratchDatabase;
  beforeEach(async () => {
    at = scratch.make();
    await at.db.collection<{ _id: number }>('things').insertMany([{ _id: 1 }, { _id: 2 }]);
  });
  const inProject = async (...files: readonly Record<string, string>[]) => ({
    uri: at.uri,
    cwd: await makeProject(Object.assign({}, ...files) as Record<string, string>),
  });

  test('runs what is pending, each after those that it depends on, and nothing twice', async () => {
    const b = file('b', "dependsOn: ['c'],", "(doc) => ({ ...doc, b: doc.b ?? (doc.c ? 'after c' : 'too early') })");
    const place = await inProject(file('a'), b, file('c'));
    expect((await runJson(['run', 'a', '--progress', 'none'], place)).code).toBe(0);
    const first = await runJson(ALL, place);
    expect([first.code, first.json['ok'], told(first.json)]).toEqual([
      0,
      true,
      ['a done -', 'c ran completed', 'b ran completed'],
    ]);
    expect(await at.db.collection('things').countDocuments({ a: true, b: 'after c', c: true })).toBe(2);
    const again = await runJson(ALL, place);
    expect([again.code, told(again.json)]).toEqual([0, ['a done -', 'c done -', 'b done -']]);
    const { stdout } = await runCommand(ALL, place);
    expect(stdout).toContain('NOTHING TO RUN: no migration is pending.');
  });

  test('looks at what is pending with --dry-run, writes nothing, and status --check tells CI what is not done', async () => {
    const bad = "(doc) => { if (doc._id === 2) throw new Error('no'); return { ...doc, c: true }; }";
    const place = await inProject(file('a'), file('b', "dependsOn: ['a'],"), file('c', '', bad));
    const look = await runJson(['run', '--all', '--dry-run', '--progress', 'none'], place);
    const looks = look.json['migrations'] as { migration: string; report: { wouldFail: number; warnings: string[] } }[];
    expect([
      look.code,
      look.json['ok'],
      looks.map(({ migration, report }) => `${migration} ${report.wouldFail}`),
    ]).toEqual([4, false, ['a 0', 'b 0', 'c 1']]);
    expect(looks[1]?.report.warnings).toEqual(['a run would be refused now: it depends on a, which is not run']);
    expect(await at.db.listCollections({ name: /^migrations/ }).toArray()).toEqual([]);
    const { stdout } = await runCommand(['run', '--all', '--dry-run', '--progress', 'none'], place);
    expect(stdout).toMatch(/3 pending: not all would go through\.\n/);
    expect(stdout).toMatch(/c +FAIL +1 +1\n/);
    const check = async () => {
      const { code, json } = await runJson(['status', '--check'], place);
      return [
        code,
        (json['found'] as { migration: string; because: string }[]).map((one) => Object.values(one).join(' ')),
      ];
    };
    expect(await check()).toEqual([6, ['a pending', 'b pending', 'c pending']]);
    await runJson([...ALL, '--max-failures', '1'], place);
    expect(await check()).toEqual([6, ['c 1 in quarantine']]);
    await writeFile(join(place.cwd, 'scripts/migrations/a.mjs'), `${Object.values(file('a'))[0]}\n// changed`);
    expect(await check()).toEqual([6, ['a its file was changed since it ran', 'c 1 in quarantine']]);
    expect((await runCommand(['status', 'b', '--check'], place)).code).toBe(0);
  });

  test('takes a dependency for done only without documents in quarantine', async () => {
    const bad = "(doc) => { if (doc._id === 2) throw new Error('no'); return { ...doc, a: true }; }";
    const place = await inProject(file('a', '', bad), file('b', "dependsOn: ['a'],"));
    expect((await runJson(['run', 'a', '--max-failures', '1', '--progress', 'none'], place)).code).toBe(4);
    const { code, json } = await runJson(['run', 'b', '--progress', 'none'], place);
    expect([code, (json['error'] as { message: string }).message]).toEqual([
      2,
      'wanted a completed before b, found it completed with 1 document in quarantine',
    ]);
    const look = await runJson(['run', 'b', '--dry-run', '--progress', 'none'], place);
    expect(look.json['warnings']).toEqual([
      'a run would be refused now: it depends on a, which is completed with 1 document in quarantine',
    ]);
  });

  test('stops at the first that does not end well, and goes on from there', async () => {
    const bad = "(doc) => { if (doc._id === 2) throw new Error('no'); return { ...doc, b: true }; }";
    const place = await inProject(file('a'), file('b', '', bad), file('c'));
    const words = await runCommand(ALL, place);
    expect(words.code).toBe(1);
    expect(words.stdout).toMatch(/STOPPED: 1 of 3 pending migrations are completed\./);
    expect(words.stdout).toMatch(/a +completed +2[\s\S]*b +failed +1 +1[\s\S]*c +waits/);
    expect(await at.db.collection('things').countDocuments({ c: true })).toBe(0);
    // What failed is in quarantine by now, and one run more goes past it, as `run b` would.
    const accepted = await runJson(ALL, place);
    expect([accepted.code, accepted.json['ok'], told(accepted.json)]).toEqual([
      4,
      true,
      ['a done -', 'b ran completed', 'c ran completed'],
    ]);
  });

  test('of a second job refuses what the first is at, and a rollback does, too', {
    tags: ['F60', 'P4', 'P10'],
  }, async () => {
    const place = await inProject(file('a'), file('b'));
    const first = await holdAt('batch:before-commit:1', [...ALL, '--json'], place);
    const second = await runJson(ALL, place);
    expect([second.code, told(second.json), second.json['error']]).toMatchObject([
      5,
      ['a ran -', 'b waits -'],
      { code: 'GODWIT_LEASE_HELD', details: { migration: 'a', holder: { pid: process.pid } } },
    ]);
    const back = await runCommand(['rollback', 'a', '--json'], place);
    expectRefusal(back, { exit: 5, code: 'GODWIT_LEASE_HELD', says: /held by .* since / });
    const { code, stdout } = await first.release();
    expect([code, told(JSON.parse(stdout))]).toEqual([0, ['a ran completed', 'b ran completed']]);
    expect(await at.db.collection('things').countDocuments({ a: true, b: true })).toBe(2);
    // Each of the two documents once by each migration.
    expect(await audited(at.db)).toBe(4);
  });

  test('has the error of the one that cannot be run in the document, beside those that were', async () => {
    const broken = {
      'scripts/migrations/b.mjs': file('b')['scripts/migrations/b.mjs']?.replace("'things'", "'thinks'") ?? '',
    };
    const { code, json } = await runJson(ALL, await inProject(file('a'), broken, file('c')));
    expect([code, told(json), json['error']]).toMatchObject([
      2,
      ['a ran completed', 'b ran -', 'c waits -'],
      { code: 'GODWIT_TARGET' },
    ]);
  });

  test('leaves what was rolled back to a person', async () => {
    const place = await inProject(file('a'), file('b'));
    expect((await runJson(ALL, place)).code).toBe(0);
    expect((await runJson(['rollback', 'b'], place)).code).toBe(0);
    const again = await runJson(ALL, place);
    expect([again.code, told(again.json)]).toEqual([0, ['a done -', 'b left -']]);
    expect(await at.db.collection('things').countDocuments({ b: true })).toBe(0);
  });

  test.each([
    [
      'a dependency that nobody knows',
      [file('a', "dependsOn: ['bee'],"), file('b')],
      /wanted the migration "bee", on which a depends, found none/,
    ],
    [
      'a circle',
      [file('a', "dependsOn: ['b'],"), file('b', "dependsOn: ['c'],"), file('c', "dependsOn: ['b'],")],
      /found a circle: b -> c -> b/,
    ],
  ])('refuses %s before anything is run', async (_, files, says) => {
    const place = await inProject(...files);
    expectRefusal(await runCommand([...ALL, '--json'], place), { exit: 2, code: 'GODWIT_DEPENDENCY', says });
    expect(await at.db.collection('migrations').countDocuments()).toBe(0);
  });

  test('refuses a completed migration whose file is another one by now, before anything is run', async () => {
    const place = await inProject(file('b'));
    expect((await runJson(ALL, place)).code).toBe(0);
    const other = await inProject(file('a'), file('b', '', '(doc) => ({ ...doc, b: 7 })'));
    expectRefusal(await runCommand([...ALL, '--json'], other), {
      exit: 2,
      code: 'GODWIT_CHECKSUM',
      says: /b as it was/,
    });
    expect(await at.db.collection('things').countDocuments({ a: true })).toBe(0);
  });

  test.each([
    [['run', '--all', 'a'], /found a beside it/],
    [['run', '--all', '--dry-run', '--only', '5'], /found --only beside it/],
    [['run', '--all', '--limit', '5'], /found --limit beside it/],
    [['run'], /the id of a migration, or --all, found neither/],
  ])('is by itself: %j', async (args, says) => {
    const place = await inProject(file('a'));
    expectRefusal(await runCommand([...args, '--json'], place), { exit: 2, code: 'GODWIT_USAGE', says });
  });

  test('what others build on is rolled back after them', async () => {
    const place = await inProject(file('a'), file('b', "dependsOn: ['a'],"));
    expect((await runJson(ALL, place)).code).toBe(0);
    const refused = await runCommand(['rollback', 'a', '--json'], place);
    expectRefusal(refused, {
      exit: 2,
      code: 'GODWIT_DEPENDENCY',
      says: /nothing that builds on a .* found b completed/,
    });
    expect(errorOf(refused).next[0]).toContain('godwit rollback b');
    expect((await runJson(['rollback', 'a', '--dry-run'], place)).code).toBe(0);
    expect((await runJson(['rollback', 'b'], place)).code).toBe(0);
    expect((await runJson(['rollback', 'a'], place)).json).toMatchObject({ state: 'rolled-back', identical: true });
  });
});
