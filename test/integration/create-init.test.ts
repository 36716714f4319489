import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { SETTINGS } from '../../src/config/schema.js';
import { findMigrations } from '../../src/migration/find.js';
import { loadMigration } from '../../src/migration/load.js';
import { createMigration } from '../../src/verbs/create.js';
import { initProject } from '../../src/verbs/init.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const NOW = new Date('2026-11-23T09:00:30Z');
const TYPESCRIPT = { devDependencies: { typescript: '5.9.3' } };
const LANGUAGES = [
  ['TypeScript', TYPESCRIPT, 'ts'],
  ['JavaScript', { name: 'crm' }, 'mjs'],
] as const;

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(await realpath(tmpdir()), 'godwit-project-'));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

async function put(path: string, text: string | object): Promise<void> {
  await mkdir(dirname(join(cwd, path)), { recursive: true });
  await writeFile(join(cwd, path), typeof text === 'string' ? text : JSON.stringify(text));
}

const read = (path: string): Promise<string> => readFile(join(cwd, path), 'utf8');

interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Runs a program in the project; `vitest` must not think that it runs inside of us. */
async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_TEST|NODE_OPTIONS)/.test(name)),
  );
  const options = { cwd, env: { ...clean, ...env }, timeout: 50_000 };
  return promisify(execFile)(program, [...args], options).then(
    ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      output: error.stdout + error.stderr,
    }),
  );
}

const node = (...args: readonly string[]): Promise<Ended> => run(process.execPath, args);

/** What `npm install godwit` would give, from our sources: a project imports the real defineMigration. */
async function installGodwit(): Promise<void> {
  await put('node_modules/godwit/package.json', {
    name: 'godwit',
    type: 'module',
    exports: { '.': './index.js', './package.json': './package.json' },
  });
  const jiti = join(root, 'node_modules/jiti');
  await put(
    'node_modules/godwit/index.js',
    `import { createJiti } from ${JSON.stringify(join(jiti, 'lib/jiti.mjs'))};
     const authoring = await createJiti(import.meta.url).import(${JSON.stringify(join(root, 'src/domain/authoring.ts'))});
     export const { defineMigration, transform, pipeline, merge, references, schema, script, defineConfig } = authoring;`,
  );
  await symlink(jiti, join(cwd, 'node_modules/jiti'));
}

async function create(name: string, more: { kind?: string; now?: Date } = {}) {
  return createMigration({ config: await loadConfig({ cwd, env: {} }), name, cwd, now: NOW, ...more });
}

describe('create', () => {
  it.each(LANGUAGES)('writes a file in %s that the loader takes as it is', async (_language, manifest, extension) => {
    await put('package.json', manifest);
    const { file, test } = await create('Unify contacts');
    expect(file).toBe(`scripts/migrations/20261123T0900-unify-contacts.${extension}`);
    expect(test).toBe(`scripts/migrations/20261123T0900-unify-contacts.test.${extension}`);
    const [found, ...others] = await findMigrations(join(cwd, 'scripts/migrations'));
    expect(others).toEqual([]);
    if (!found) throw new Error('the file was not found');
    const { id, migration } = await loadMigration(found);
    expect(id).toBe('20261123T0900-unify-contacts');
    expect(migration).toMatchObject({ description: 'Unify contacts', pr: '', steps: [{ kind: 'transform' }] });
  });

  it.each(LANGUAGES)(
    'writes a test in %s that passes as it is, and fails when up() changes its input',
    async (_language, manifest, extension) => {
      await put('package.json', manifest);
      await installGodwit();
      const { file, test } = await create('Unify contacts');
      const args = extension === 'ts' ? ['--import', 'jiti/register', '--test', test] : ['--test', test];
      expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 3') as unknown });
      await put(
        file,
        (await read(file)).replace(
          'return { ...doc, schemaVersion: 2 };',
          'return Object.assign(doc, { schemaVersion: 2 });',
        ),
      );
      expect(await node(...args)).toMatchObject({
        code: 1,
        output: expect.stringContaining('not extensible') as unknown,
      });
      const growing = 'return { ...doc, schemaVersion: 2, n: (doc.n ?? 0) + 1 };';
      await put(file, (await read(file)).replace(/return Object.assign.*/, growing).replace(/.*return skip.*\n/, ''));
      expect((await node(...args)).output).toContain('not ok 2 - a second time changes nothing');
    },
  );

  it.each(LANGUAGES)(
    'writes a pipeline in %s and its test, which the server evaluates',
    async (_language, manifest, extension) => {
      await put('package.json', manifest);
      await installGodwit();
      await symlink(join(root, 'node_modules/mongodb'), join(cwd, 'node_modules/mongodb'));
      const { file, test } = await create('Count up', { kind: 'pipeline' });
      const args = extension === 'ts' ? ['--import', 'jiti/register', '--test', test] : ['--test', test];
      expect((await node(...args)).output).toContain('# skipped 2');
      const before = process.env['MONGODB_URI'];
      process.env['MONGODB_URI'] = inject('mongoUri');
      try {
        expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 2') as unknown });
        await put(file, (await read(file)).replace('{ $set: { schemaVersion: 2 } }', '{ $set: { schemaVersion: 3 } }'));
        expect((await node(...args)).output).toContain('not ok 1 - a document in the old shape gets the new one');
      } finally {
        if (before === undefined) delete process.env['MONGODB_URI'];
        else process.env['MONGODB_URI'] = before;
      }
    },
  );

  it.each(LANGUAGES)(
    'writes references in %s and their test, which knows a value that names nothing',
    async (_language, manifest, extension) => {
      await put('package.json', manifest);
      await installGodwit();
      const { file, test } = await create('Owners become references', { kind: 'references' });
      const args = extension === 'ts' ? ['--import', 'jiti/register', '--test', test] : ['--test', test];
      expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 4') as unknown });
      await put(file, (await read(file)).replace("dangling: 'report'", "dangling: 'null'"));
      expect((await node(...args)).output).toContain('not ok 4 - a value that names no document stays');
    },
  );

  it.each(LANGUAGES)(
    'writes a merge in %s and its test, which knows who is nobody else',
    async (_language, manifest, extension) => {
      await put('package.json', manifest);
      await installGodwit();
      const { file, test } = await create('One of all', { kind: 'merge' });
      const args = extension === 'ts' ? ['--import', 'jiti/register', '--test', test] : ['--test', test];
      expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 3') as unknown });
      await put(file, (await read(file)).replace('({ email }) => email', "({ email }) => email ?? 'none'"));
      expect((await node(...args)).output).toContain('not ok 3 - a document with nothing in it is nobody else');
    },
  );

  it.each(LANGUAGES)('writes schema steps in %s and their test', async (_language, manifest, extension) => {
    await put('package.json', manifest);
    await installGodwit();
    const { file, test } = await create('One mail each', { kind: 'schema' });
    const args = extension === 'ts' ? ['--import', 'jiti/register', '--test', test] : ['--test', test];
    expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 1') as unknown });
    await put(file, (await read(file)).replace('schema.createIndex', 'schema.dropIndex'));
    expect((await node(...args)).code).toBe(1);
  });

  it.each(LANGUAGES)(
    'writes a script in %s and its test, which runs it with helpers that take notes',
    async (_language, manifest, extension) => {
      await put('package.json', manifest);
      await installGodwit();
      const { file, test } = await create('Marked by hand', { kind: 'script' });
      const args = extension === 'ts' ? ['--import', 'jiti/register', '--test', test] : ['--test', test];
      expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 3') as unknown });
      const text = await read(file);
      await put(file, text.replace('await ctx.update', 'await ctx.remove(COLLECTION, {});\n        await ctx.update'));
      expect((await node(...args)).output).toContain('not ok 1 - the script asks for this, in this order');
      await put(file, text.replace('schemaVersion: 2 })', 'n: (doc.n ?? 0) + 1 })'));
      expect((await node(...args)).output).toContain('not ok 3 - a second time changes nothing');
    },
  );

  it('writes a test for Vitest where the project has Vitest', async () => {
    await put('package.json', { type: 'module', devDependencies: { typescript: '5', vitest: '4' } });
    await installGodwit();
    await symlink(join(root, 'node_modules/vitest'), join(cwd, 'node_modules/vitest'));
    const { test } = await create('Unify contacts');
    const ended = await node(join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--no-color', test);
    expect(ended.output).toMatch(/3 passed/);
    expect(ended.code).toBe(0);
  });

  it('writes TypeScript that the strictest compiler takes', async () => {
    await put('package.json', { ...TYPESCRIPT, type: 'module' });
    const { file } = await create('Unify contacts');
    await create('Count up', { kind: 'pipeline' });
    await create('Owners become references', { kind: 'references' });
    await create('One of all', { kind: 'merge' });
    await create('One mail each', { kind: 'schema' });
    await create('Marked by hand', { kind: 'script' });
    await symlink(join(root, 'node_modules'), join(cwd, 'node_modules'));
    await initProject({ cwd });
    await put('tsconfig.json', {
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        rootDir: '/',
        paths: { godwit: [join(root, 'src/domain/authoring.ts')] },
        typeRoots: [join(root, 'node_modules/@types')],
      },
      include: ['scripts', '*.ts'],
    });
    const tsc = () => node(join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', '.');
    expect(await tsc()).toEqual({ code: 0, output: '' });
    await put(file, (await read(file)).replace('schemaVersion: 2 }', "schemaVersion: 'two' }"));
    expect((await tsc()).output).toContain('TS2322');
  });

  it("takes the author from git's settings, and leaves a place for the name without them", async () => {
    const noGit = {
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_CONFIG_SYSTEM: '/dev/null',
      GIT_CEILING_DIRECTORIES: dirname(cwd),
    };
    const before = { ...process.env };
    Object.assign(process.env, noGit);
    try {
      const { file } = await create('without');
      expect(await read(file)).toContain("author: 'add your name here',");
      await run('git', ['init', '--quiet']);
      await run('git', ['config', 'user.name', "Conor O'Brien"]);
      await run('git', ['config', 'user.email', 'conor@example.test']);
      expect(await read((await create('with')).file)).toContain("author: 'Conor O\\'Brien <conor@example.test>',");
    } finally {
      for (const name of Object.keys(noGit)) if (before[name] === undefined) delete process.env[name];
      Object.assign(process.env, before);
    }
  });

  it('never overwrites: neither the file, nor its test, nor one of another extension', async () => {
    const { file, test } = await create('Unify contacts');
    await put(file, 'mine');
    await expect(create('unify contacts')).rejects.toMatchObject({ code: 'GODWIT_EXISTS' });
    expect(await read(file)).toBe('mine');
    await rm(join(cwd, file));
    await put(test, 'my test');
    await expect(create('unify contacts')).rejects.toMatchObject({
      code: 'GODWIT_EXISTS',
      message: expect.stringContaining(test) as unknown,
    });
    expect(await read(test)).toBe('my test');
    await expect(read(file)).rejects.toMatchObject({ code: 'ENOENT' });
    await rm(join(cwd, test));
    await put('scripts/migrations/20261123T0900-unify-contacts.cjs', 'other');
    await expect(create('unify contacts')).rejects.toMatchObject({ code: 'GODWIT_EXISTS' });
    await create('unify contacts', { now: new Date('2026-11-23T09:01:00Z') });
  });

  it('writes into the folder that the configuration names, and nothing for a wrong name or kind', async () => {
    await put('godwit.config.json', { migrations: 'db/changes' });
    await expect(create('../evil')).rejects.toMatchObject({ code: 'GODWIT_USAGE' });
    await expect(create('fine', { kind: 'transfrom' })).rejects.toMatchObject({ code: 'GODWIT_USAGE' });
    await expect(read('db/changes')).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await create('fine')).file).toBe('db/changes/20261123T0900-fine.mjs');
  });
});

describe('init', () => {
  it.each(LANGUAGES)(
    'begins a project in %s, and changes nothing the second time',
    async (_language, manifest, extension) => {
      await put('package.json', manifest);
      const paths = [`godwit.config.${extension}`, 'scripts/migrations/.gitkeep', '.gitignore'];
      expect(await initProject({ cwd })).toEqual({ created: paths, kept: [] });
      expect(await initProject({ cwd })).toEqual({ created: [], kept: paths });
      expect(await read('.gitignore')).toBe('.godwit/\n');
      const config = await loadConfig({ cwd, env: {} });
      expect(config.file).toBe(join(cwd, `godwit.config.${extension}`));
      expect(Object.keys(config.settings.environments)).toEqual(['staging', 'production']);
    },
  );

  it('writes every key of the configuration, those in comments with their defaults', async () => {
    await initProject({ cwd });
    const text = await read('godwit.config.mjs');
    await put('godwit.config.mjs', text.replace(/^ {2}\/\/ (\w+: )/gm, '  $1'));
    const { settings, origins } = await loadConfig({ cwd, env: {} });
    const unwritten = SETTINGS.filter(({ path }) => origins[path] !== 'file').map(({ path }) => path);
    expect(unwritten).toEqual([
      'window.zone',
      'window.start',
      'window.end',
      'throttle.probe',
      'throttle.when',
      'state.db',
    ]);
    const { environments, db, redact, ...rest } = settings;
    expect(db).toBe('crm');
    expect(redact).toHaveLength(1);
    expect(environments['production']).toMatchObject({ production: true });
    const defaults = await loadConfig({ cwd: join(cwd, 'scripts'), env: {} });
    expect(defaults.settings).toMatchObject(rest);
  });

  it("keeps a team's own files, and adds one line to its .gitignore", async () => {
    await put('package.json', { dependencies: { mongoose: '9' } });
    await put('godwit.config.cjs', "module.exports = { migrations: 'db/changes' };");
    await put('db/changes/20260101T0000-first.js', '');
    await put('.gitignore', 'node_modules/\r\ndist/');
    await put('scripts/check-models.mjs', 'mine');
    await put('scripts/model-mapping.json', 'mine');
    expect(await initProject({ cwd })).toEqual({
      created: ['.gitignore'],
      kept: ['godwit.config.cjs', 'db/changes/', 'scripts/check-models.mjs', 'scripts/model-mapping.json'],
    });
    expect(await read('.gitignore')).toBe('node_modules/\r\ndist/\r\n.godwit/\r\n');
    expect(await read('scripts/model-mapping.json')).toBe('mine');
  });

  it('refuses a package.json that cannot be read, and writes nothing', async () => {
    await put('package.json', '{ "name": ');
    await expect(initProject({ cwd })).rejects.toMatchObject({ code: 'GODWIT_CONFIG' });
    await expect(read('.gitignore')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

const CLIENT = `const mongoose = require('mongoose');
mongoose.connect('mongodb://127.0.0.1:1/nowhere');
mongoose.createConnection('mongodb://127.0.0.1:1/nowhere');
setInterval(() => {}, 1_000);
module.exports = mongoose.model('Client', new mongoose.Schema({ mail: String }, { collection: 'legacy_clients' }));`;
const PERSON = `import mongoose, { Schema } from 'mongoose';
await mongoose.connect('mongodb://127.0.0.1:1/nowhere');
const schema = new Schema({ name: String });
export default mongoose.model('Person', schema);`;
const INVOICE = `const { Schema } = require('mongoose');
module.exports = (connection) => connection.model('Invoice', new Schema({ total: Number }), 'bills');`;

const require = createRequire(import.meta.url);
const VERSIONS = [
  ['8', require.resolve('mongoose8/package.json')],
  ['9', require.resolve('mongoose9/package.json')],
] as const;

describe.each(VERSIONS)('init in a project that uses Mongoose %s', (_version, mongoose) => {
  beforeEach(async () => {
    await mkdir(join(cwd, 'node_modules'), { recursive: true });
    await symlink(dirname(mongoose), join(cwd, 'node_modules/mongoose'));
    await put('models/client.cjs', CLIENT);
    await put('models/index.cjs', "module.exports = [require('./client.cjs')];");
    await put('src/models/crm/person.mjs', PERSON);
    await put('src/models/crm/person.test.mjs', "throw new Error('tests are not loaded');");
    await put('app/models/invoice.cjs', INVOICE);
  });

  it.each(['module', 'commonjs'])('writes a check-models.js that works (type %s)', async (type) => {
    await put('package.json', { type, dependencies: { mongoose: '*' } });
    expect((await initProject({ cwd })).created).toContain('scripts/check-models.js');
    const good = await node('scripts/check-models.js');
    expect(good.output).toMatch(/\n3 models load, 0 fail\n$/);
    expect(good.output).toMatch(/^ok {4}models\/client\.cjs {2}Client$/m);
    expect(good.code).toBe(0);
    await put('lib/models/again.cjs', CLIENT);
    await put('lib/models/broken.cjs', 'const a = ;');
    await put('lib/models/leaves.cjs', 'process.exit(0);');
    await put('lib/models/missing.mjs', "import './not-there.mjs';");
    const bad = await node('scripts/check-models.js');
    expect(bad.output).toMatch(/\n3 models load, 5 fail\n$/);
    expect(bad.output).toMatch(/fail {2}lib\/models\/broken\.cjs\n +SyntaxError.*\(lib\/models\/broken\.cjs:1\)/);
    expect(bad.output).toMatch(/fail {2}(lib\/models\/again|models\/client)\.cjs\n +OverwriteModelError/);
    expect(bad.output).toMatch(
      /fail {2}lib\/models\/leaves\.cjs\n +Error: it ends the process \(lib\/models\/leaves\.cjs:1:9\)/,
    );
    // The index gathers a file that fails, so it fails with it.
    expect(bad.output).toContain('fail  models/index.cjs');
    expect(bad.code).toBe(1);
  });

  it('checks models in TypeScript too', async () => {
    await put('package.json', { ...TYPESCRIPT, dependencies: { mongoose: '*' } });
    await installGodwit();
    await put(
      'models/order.ts',
      `import { model, Schema } from 'mongoose';
interface Order { total: number }
export const OrderModel = model<Order>('Order', new Schema<Order>({ total: Number }));`,
    );
    await initProject({ cwd });
    const { code, output } = await node('scripts/check-models.js');
    expect(output).toMatch(/^ok {4}models\/order\.ts {2}Order$/m);
    expect(output).toMatch(/\n4 models load, 0 fail\n$/);
    expect(code).toBe(0);
  });

  it('maps every model to itself, with its collection', async () => {
    await put('package.json', { devDependencies: { mongoose: '*' } });
    await put('lib/models/sales-order.js', "const { Schema } = require('mongoose');\nmodule.exports = new Schema({});");
    await put('lib/models/again.cjs', CLIENT);
    await initProject({ cwd });
    const text = await read('scripts/model-mapping.json');
    const entry = (target: string, file: string, collection: string) => ({ target, file, collection });
    expect(JSON.parse(text)).toEqual({
      models: {
        'Client (lib/models/again.cjs)': entry('Client', 'lib/models/again.cjs', 'legacy_clients'),
        'Client (models/client.cjs)': entry('Client', 'models/client.cjs', 'legacy_clients'),
        Invoice: entry('Invoice', 'app/models/invoice.cjs', 'bills'),
        Person: entry('Person', 'src/models/crm/person.mjs', 'people'),
        SalesOrder: entry('SalesOrder', 'lib/models/sales-order.js', 'salesorders'),
      },
    });
    await rm(join(cwd, 'scripts/model-mapping.json'));
    await initProject({ cwd });
    expect(await read('scripts/model-mapping.json')).toBe(text);
  });
});
