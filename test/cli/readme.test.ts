import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Decimal128, type ObjectId } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** Code blocks of the README in this language. */
const blocks = (language: string): string[] =>
  [...README.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1] ?? '');

describe('the README', () => {
  const { db, uri } = useDatabase('readme');

  test('shows a migration that does what it says, with the commands that it names', async () => {
    const example = blocks('ts').find((text) => text.includes('defineMigration')) ?? '';
    const cwd = await makeProject({ 'scripts/migrations/20261123T0900-unify-contacts.ts': example });
    const owner = (await db.collection('users').insertOne({ name: 'Ada' })).insertedId as ObjectId;
    await db.collection('contacts').insertMany([
      {
        email: ' Bob@X.test ',
        firstName: 'Bob',
        lastName: 'B',
        balance: Decimal128.fromString('5.00'),
        fax: '1',
        ownerId: owner,
      },
      { email: 'eve@x.test', schemaVersion: 2 },
    ]);
    const before = await dataHash(db);
    const commands = blocks('sh')
      .flatMap((text) => text.split('\n'))
      .flatMap((line) => /^npx godwit (.*?)\s*(#.*)?$/.exec(line)?.[1] ?? [])
      .filter((line) => line.includes('unify-contacts') && !line.startsWith('create') && !line.includes('--doc'));
    expect(commands.length).toBeGreaterThan(5);
    for (const line of commands.filter((text) => !text.startsWith('rollback'))) {
      const { code, stderr } = await runCommand([...line.split(' '), '--progress', 'none'], { cwd, uri });
      expect([line, code, stderr]).toEqual([line, 0, '']);
    }
    expect(await db.collection('contacts').findOne({ email: 'bob@x.test' })).toMatchObject({
      name: 'Bob B',
      owner: 'Ada',
      credit: Decimal128.fromString('5.00'),
      schemaVersion: 2,
    });
    const back = await runJson(['rollback', 'unify-contacts'], { cwd, uri });
    expect(back.json['identical']).toBe(true);
    expect(await dataHash(db)).toEqual(before);
  });

  test('names only files that are there', () => {
    const links = [...README.matchAll(/\]\((?!http)([^)]+)\)/g)].map((match) => match[1] ?? '');
    for (const link of links)
      expect(() => readFileSync(new URL(`../../${link}`, import.meta.url))).not.toThrow(/ENOENT/);
  });

  test('leads only to what the package holds', async () => {
    const { stdout } = await promisify(execFile)('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    });
    const [packed] = JSON.parse(stdout) as { files: { path: string }[] }[];
    const paths = packed?.files.map(({ path }) => path) ?? [];
    const links = [...README.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map((match) => match[1] ?? '');
    const local = links.filter((link) => !/^https?:/.test(link));
    expect(local.length).toBeGreaterThan(10);
    const dead = local.filter(
      (link) => !paths.some((path) => path === link || path.startsWith(link.replace(/\/?$/, '/'))),
    );
    expect(dead).toEqual([]);
  });
});
