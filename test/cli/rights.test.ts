import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { useAuthServer } from '../support/auth-server.js';
import { runCommand, runJson } from '../support/command.js';
import { makeMigration } from '../support/project.js';
import { expectRefusal, expectRefusalInWords } from '../support/refusal.js';
import { everything, type ScratchDatabase, useScratch } from '../support/scratch.js';

const UP = '(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })';
const PASSWORD = 'Zq9pass/word';

describe('with access control', () => {
  const server = useAuthServer();
  const scratch = useScratch('rights', () => server.rootUri());
  let crm: ScratchDatabase;
  let other: ScratchDatabase;
  let uri = '';
  beforeAll(async () => {
    [crm, other] = [scratch.make(), scratch.make()];
    uri = await server.addUser(crm.name, 'writer', PASSWORD, 'readWrite');
    await other.db.collection('people').insertOne({ mail: 'A@x.test' });
    await crm.db.collection('people').insertMany(Array.from({ length: 20 }, (_, n) => ({ n, mail: `P${n}@x.test` })));
  });

  test('every verb works for a user that has readWrite on its database and nothing else', async () => {
    const cwd = await makeMigration(UP);
    const { db } = crm;
    const before = (await everything(db))['people'];
    const verb = async (line: string): Promise<unknown> => {
      const { code, json } = await runJson(line.split(' '), { cwd, uri });
      return [code, json];
    };
    expect(await verb('doctor')).toMatchObject([0, { ok: true }]);
    expect(await verb('list')).toMatchObject([0, { migrations: [{ id: 'm1', state: 'pending' }] }]);
    expect(await verb('run m1 --dry-run')).toMatchObject([0, { wouldChange: 20 }]);
    expect(await verb('run m1 --limit 5')).toMatchObject([7, { state: 'stopped', changed: 5 }]);
    expect(await verb('status m1')).toMatchObject([0, { migrations: [{ state: 'stopped', changed: 5 }] }]);

    const path = join(cwd, 'scripts/migrations/m1.mjs');
    await writeFile(path, `${await readFile(path, 'utf8')}// changed\n`);
    expect(await verb('amend m1 --because comment')).toMatchObject([0, { migration: 'm1' }]);
    expect(await verb('run m1')).toMatchObject([0, { state: 'completed', changed: 20 }]);
    expect(await verb('verify m1')).toMatchObject([0, { ok: true }]);
    expect(await verb('audit m1')).toMatchObject([0, { total: 20 }]);
    expect(await verb('rollback m1 --dry-run')).toMatchObject([0, { restored: 20 }]);
    expect(await verb('rollback m1')).toMatchObject([0, { restored: 20, identical: true }]);
    expect((await everything(db))['people']).toBe(before);
  });

  const DENIED = [
    {
      title: 'a wrong password',
      uri: () => uri.replace(encodeURIComponent(PASSWORD), 'Zq9wrong'),
      code: 'GODWIT_AUTH',
      says: /wanted to log in, found the user or the password refused/,
    },
    {
      title: 'a user that is not there',
      uri: () => uri.replace('writer', 'nobody'),
      code: 'GODWIT_AUTH',
      says: /wanted to log in/,
    },
    {
      title: 'no user at all',
      uri: () => uri.replace(/\/\/.*@/, '//'),
      code: 'GODWIT_FORBIDDEN',
      says: /found a right missing/,
    },
    {
      title: "another database than the user's",
      uri: () => uri.replace(`/${crm.name}?`, `/${other.name}?authSource=${crm.name}&`),
      code: 'GODWIT_FORBIDDEN',
      says: /found a right missing/,
    },
  ];

  for (const one of DENIED)
    test(`a run is refused in words, without the password, and writes nothing: ${one.title}`, {
      tags: ['P11'],
    }, async () => {
      const cwd = await makeMigration(UP);
      const before = await everything(other.db);
      const result = await runCommand(['run', 'm1', '--json', '--verbose'], { cwd, uri: one.uri() });
      expectRefusal(result, { exit: 1, code: one.code, says: one.says });
      expectRefusalInWords(result);
      expect(`${result.stdout}${result.stderr}`).not.toContain('Zq9');
      expect(await everything(other.db)).toEqual(before);
    });

  test('doctor says which rights are missing', async () => {
    const reader = await server.addUser(crm.name, 'reader', 'secret', 'read');
    const cwd = await makeMigration(UP);
    const { code, json } = await runJson(['doctor'], { cwd, uri: reader });
    const { checks } = json as { checks: { name: string; ok: boolean | null; found: string; next?: string }[] };
    const rights = checks.find(({ name }) => name === 'rights');
    expect([code, rights?.ok]).toEqual([6, false]);
    expect(rights?.found).toContain(`missing on ${crm.name}: insert, update`);
    expect(rights?.next).toContain(`role: 'readWrite', db: '${crm.name}'`);
  });
});
