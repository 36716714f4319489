/** The target is never a guess: what was asked for by name, and what a database was said to be. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DemoServer } from '../../src/demo/server.js';
import { requireVersion } from '../../src/kernel/server-version.js';
import { type CommandOptions, runCommand, runJson } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';
import { errorOf } from '../support/refusal.js';
import { everything } from '../support/scratch.js';

const MIGRATION = `import { defineMigration, transform } from 'godwit';
export default defineMigration({
  description: 'a test',
  steps: [transform({ collection: 'people', up: (doc) => (doc.mark ? doc : { ...doc, mark: 'x' }) })],
});
`;

/** Takes what it names from the environment, as teams do. */
const FROM_VARIABLES = `export default {
  environments: {
    staging: { uri: process.env.STAGING_URI },
    'pre-prod': { uri: process.env['PRE_PROD_URI'], db: 'crm' },
    production: { uri: process.env.PRODUCTION_URI, production: true },
    bare: {},
  },
};
`;

/** Not set, or set to nothing: the same. */
const NO_URIS = { PRODUCTION_URI: '' };

describe('the target', () => {
  const { db, uri } = useDatabase('target');
  const people = db.collection<{ _id: number }>('people');

  async function place(files: Readonly<Record<string, string>> = {}): Promise<string> {
    await people.insertMany([{ _id: 1 }, { _id: 2 }]);
    return makeProject({ 'scripts/migrations/m1.mjs': MIGRATION, ...files });
  }

  const refused = async (args: readonly string[], options: CommandOptions) => {
    const result = await runCommand([...args, '--json'], options);
    return { exit: result.code, ...errorOf(result) };
  };

  describe('that was asked for by name is never another one', () => {
    test.each([
      ['staging', 'STAGING_URI', ['run', 'm1']],
      ['production', 'PRODUCTION_URI', ['run', 'm1', '--yes', 'x']],
      ['pre-prod', 'PRE_PROD_URI', ['list']],
      ['bare', 'environments.bare.uri', ['status']],
      ['production', 'PRODUCTION_URI', ['doctor']],
    ])('an environment without a URI: %s (%s, %j)', async (name, variable, args) => {
      const cwd = await place({ 'godwit.config.mjs': FROM_VARIABLES });
      const before = await everything(db);
      const result = await refused([...args, '--env', name], { cwd, uri, env: NO_URIS });
      expect(result).toMatchObject({ exit: 2, code: 'GODWIT_NO_URI' });
      expect(result.message).toContain(`"${name}"`);
      expect(result.message).toContain(variable);
      expect(await everything(db)).toEqual(before);
    });

    test.each([
      ['--env', ['list', '--env', '']],
      ['--db', ['list', '--db', '']],
      ['--uri', ['list', '--uri', '']],
      ['--config', ['list', '--config', '']],
      ['--cwd', ['list', '--cwd', '']],
      ['--env-file', ['list', '--env-file', '']],
    ])('an option without a value: %s', async (option, args) => {
      const result = await refused(args, { cwd: await place(), uri });
      expect(result).toMatchObject({ exit: 2, code: 'GODWIT_USAGE', message: `${option} is empty` });
    });

    test.each([
      [
        'a URI beside an environment',
        ['list', '--env', 'staging', '--uri', 'mongodb://127.0.0.1:1/x'],
        'they name two servers',
      ],
      ['a folder that is not there', ['list', '--cwd', '/nope'], '/nope is not there'],
      ['a folder that is a file', ['create', 'x', '--cwd', 'godwit.config.mjs'], 'is no folder'],
      ['a file of variables that is not there', ['list', '--env-file', 'no.env'], 'there is no file'],
      [
        'a migration that may be two',
        ['run', 'people'],
        '"people" may be 2 migrations: 20260101-people, 20260102-people',
      ],
      ['the same for a verb that looks at the state, too', ['status', 'people'], '"people" may be 2 migrations'],
    ])('%s', async (_, args, says) => {
      const cwd = await place({
        'godwit.config.mjs': FROM_VARIABLES,
        'scripts/migrations/20260101-people.mjs': MIGRATION,
        'scripts/migrations/20260102-people.mjs': MIGRATION,
      });
      const result = await refused(args, { cwd, uri });
      expect(result.exit).toBe(2);
      expect(result.message).toContain(says);
    });
  });

  describe('is production once it was used as that', () => {
    const production = (at: string, more = {}): string =>
      JSON.stringify({ environments: { live: { uri: at, production: true }, ...more } });
    const RUN = ['run', 'm1', '--progress', 'none'];

    test('however it is reached, and a dry run writes nothing of it', async () => {
      const cwd = await place({ 'godwit.config.json': production(uri) });
      expect((await runCommand(['run', 'm1', '--dry-run', '--env', 'live'], { cwd })).code).toBe(0);
      expect(await db.listCollections({ name: /^migrations/ }).toArray()).toEqual([]);
      expect((await runCommand([...RUN, '--env', 'live', '--yes', db.databaseName], { cwd })).code).toBe(0);
      const elsewhere = await makeProject({ 'scripts/migrations/m1.mjs': MIGRATION });
      for (const [args, options] of [
        [[], { cwd: elsewhere, uri }],
        [['--uri', uri], { cwd: elsewhere }],
        [
          ['--env', 'other'],
          {
            cwd: await makeProject({
              'scripts/migrations/m1.mjs': MIGRATION,
              'godwit.config.json': JSON.stringify({ environments: { other: { uri } } }),
            }),
          },
        ],
      ] as const) {
        expect((await runCommand(['list', ...args], options)).stdout).toContain('PRODUCTION');
        const result = await refused(['rollback', 'm1', ...args], options);
        expect(result).toMatchObject({ exit: 2, code: 'GODWIT_CONFIRM' });
      }
    });

    test('and where an environment that is production leads to it, though another way was taken', async () => {
      const cwd = await place({ 'godwit.config.json': production(uri.replace('127.0.0.1', 'localhost')) });
      expect(await refused(RUN, { cwd, uri })).toMatchObject({ exit: 2, code: 'GODWIT_CONFIRM' });
    });

    test('but a copy of it on another server is not: a backup that was restored there', async () => {
      const cwd = await place({ 'godwit.config.json': production(uri) });
      expect((await runCommand([...RUN, '--env', 'live', '--yes', db.databaseName], { cwd })).code).toBe(0);
      await db
        .collection('migrations_evidence')
        .updateOne({ kind: 'environment' }, { $set: { replicaSetId: '64b7f0c2a1b2c3d4e5f60718' } });
      const elsewhere = await makeProject({ 'scripts/migrations/m1.mjs': MIGRATION });
      expect((await runCommand(['list'], { cwd: elsewhere, uri })).stdout).toContain('LOCAL');
    });

    test.each([
      ['by one name', (at: string) => at],
      ['by two names', (at: string) => at.replace('127.0.0.1', 'localhost')],
    ])('and no other environment may be it, %s', async (_, other) => {
      const cwd = await place({ 'godwit.config.json': production(uri, { staging: { uri: other(uri) } }) });
      const result = await refused([...RUN, '--env', 'staging'], { cwd });
      expect(result).toMatchObject({ exit: 2, code: 'GODWIT_CONFIG' });
      expect(result.message).toMatch(/"(live|staging)" and "(live|staging)" are one database/);
    });

    test('and no other environment may be it that leads there by a way that nobody sees', async () => {
      const cwd = await place({ 'godwit.config.json': production(uri) });
      expect((await runCommand([...RUN, '--env', 'live', '--yes', db.databaseName], { cwd })).code).toBe(0);
      const live = { uri: 'mongodb://crm.example.invalid/x', production: true };
      await writeFile(join(cwd, 'godwit.config.json'), JSON.stringify({ environments: { live, staging: { uri } } }));
      const result = await refused(['list', '--env', 'staging'], { cwd });
      expect(result).toMatchObject({ exit: 2, code: 'GODWIT_CONFIG' });
      expect(result.message).toContain('are one database');
    });
  });

  test('elsewhere that nobody has named is asked about once', async () => {
    const cwd = await place();
    // Not a loopback by its name, though it leads to one.
    const remote = uri.replace('127.0.0.1', '0.0.0.0');
    const at = { cwd, uri: remote };
    const run = ['run', 'm1', '--progress', 'none', '--yes', db.databaseName];
    const first = await refused(run, at);
    expect(first).toMatchObject({ exit: 2, code: 'GODWIT_CONFIRM' });
    expect(first.message).toContain('staging or production');
    expect(await refused([...run, '--env-kind', 'live'], at)).toMatchObject({ exit: 2, code: 'GODWIT_USAGE' });
    expect((await runCommand([...run, '--env-kind', 'staging'], at)).code).toBe(0);
    expect((await runCommand(['list'], at)).stdout).toContain('STAGING');
    expect((await runCommand(['rollback', 'm1', '--progress', 'none'], at)).code).toBe(0);
    const now = await refused([...run, '--env-kind', 'production'], at);
    expect(now).toMatchObject({ exit: 2, code: 'GODWIT_USAGE' });
    expect(now.message).toContain('recorded as staging');
  });

  describe('of the configuration is looked for in files of variables', () => {
    const FILES = {
      'godwit.config.mjs': FROM_VARIABLES,
      '.env': 'STAGING_URI=mongodb://127.0.0.1:1/of_env\nGODWIT_WORKERS=3\nGODWIT_LEASE_MS=20000\n',
      '.env.local': 'STAGING_URI=mongodb://127.0.0.1:1/of_local\nGODWIT_WORKERS=4\n',
      'other.env': 'STAGING_URI=mongodb://127.0.0.1:1/of_other\n',
    };
    interface Row {
      readonly path: string;
      readonly value: unknown;
      readonly origin: string;
    }
    const config = async (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
      const { json } = await runJson(['config', ...args], { cwd: await makeProject(FILES), env });
      const rows = json['values'] as Row[];
      return (path: string) => rows.filter((row) => row.path === path).map(({ value, origin }) => [value, origin])[0];
    };

    test('before it is evaluated, and each value says where it is from', async () => {
      const rowOf = await config(['--env', 'staging'], { GODWIT_STALL_MS: '9000' });
      expect(rowOf('uri')).toEqual(['mongodb://127.0.0.1:1/of_local', 'file']);
      expect(rowOf('workers')).toEqual([4, '.env.local']);
      expect(rowOf('leaseMs')).toEqual([20_000, '.env']);
      expect(rowOf('stallMs')).toEqual([9_000, 'environment']);
      expect(rowOf('outageMs')).toEqual([600_000, 'default']);
    });

    test('the process comes first, and a file that was asked for is the only one', async () => {
      const own = await config(['--env', 'staging'], { STAGING_URI: 'mongodb://127.0.0.1:1/of_process' });
      expect(own('uri')?.[0]).toBe('mongodb://127.0.0.1:1/of_process');
      const other = await config(['--env', 'staging', '--env-file', 'other.env']);
      expect([other('uri')?.[0], other('workers')?.[1]]).toEqual(['mongodb://127.0.0.1:1/of_other', 'default']);
    });

    test('and is in no environment afterwards', async () => {
      await config(['--env', 'staging']);
      expect([process.env['STAGING_URI'], process.env['GODWIT_LEASE_MS']]).toEqual([undefined, undefined]);
    });
  });

  describe('that cannot be had says why', () => {
    test('another replica set than the URI says', async () => {
      const wrong = `${uri.replace(/directConnection=true&?/, '').replace(/replicaSet=[^&]*&?/, '')}${uri.includes('?') ? '&' : '?'}replicaSet=wrong`;
      const result = await refused(['list'], { cwd: await place(), uri: wrong });
      expect(result).toMatchObject({ exit: 2, code: 'GODWIT_BAD_URI' });
      expect(result.message).toMatch(/the URI says replicaSet=wrong, but 127\.0\.0\.1:\d+ is in godwit-/);
      expect(result.next[0]).toMatch(/write replicaSet=godwit-/);
    });

    test('a name that DNS does not know', async () => {
      const cwd = await place();
      const srv = await refused(['list'], { cwd, uri: 'mongodb+srv://nobody.example.invalid/crm' });
      expect([srv.code, srv.message]).toEqual([
        expect.stringMatching(/GODWIT_(BAD_URI|NO_PRIMARY)/),
        expect.stringContaining('nobody.example.invalid'),
      ]);
      const host = await refused(['list'], { cwd, uri: 'mongodb://nobody.example.invalid/crm' });
      expect(host).toMatchObject({ exit: 1, code: 'GODWIT_NO_PRIMARY' });
      expect(host.message).toContain('nobody.example.invalid');
    });

    test('doctor lists its checks, and does not send to itself', async () => {
      const { code, json, stdout } = await runJson(['doctor'], {
        cwd: await place(),
        uri: 'mongodb://127.0.0.1:1/crm',
      });
      const checks = json['checks'] as { name: string; ok: boolean | null; found: string; next?: string }[];
      expect(code).toBe(6);
      expect(checks.find(({ name }) => name === 'node')).toMatchObject({ ok: true });
      expect(checks.find(({ name }) => name === 'server')).toMatchObject({
        ok: false,
        found: expect.stringContaining('127.0.0.1:1'),
      });
      expect(checks.filter(({ ok }) => ok === null).length).toBeGreaterThan(10);
      expect(stdout).not.toContain('godwit doctor');
    });

    test.each([
      ['a variable', {}, { GODWIT_WORKERS: 'two' }, 'in the variable GODWIT_WORKERS'],
      ['a variable of a file', { '.env': 'GODWIT_BATCH_SIZE=-1' }, {}, 'GODWIT_BATCH_SIZE in .env'],
      ['the configuration', { 'godwit.config.json': '{"workers":"two"}' }, {}, 'godwit.config.json'],
    ])('a wrong value is told where it is: %s', async (_, files, env, where) => {
      const result = await refused(['list'], { cwd: await place(files), uri, env });
      expect(result).toMatchObject({ exit: 2, code: 'GODWIT_CONFIG' });
      expect(result.message).toContain(where);
    });

    test('a server that is too old is one for the demo, too', async () => {
      expect(() => requireVersion('5.0.32')).toThrow('wanted MongoDB 6.0 or later, found 5.0.32');
      const server = await DemoServer.open(uri, undefined);
      await server.close(true);
    });
  });
});
