import { rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { SETTINGS } from '../../src/config/schema.js';
import { findMigrations } from '../../src/migration/find.js';
import { loadMigration } from '../../src/migration/load.js';
import { initProject } from '../../src/verbs/init.js';
import { create, cwd, installGodwit, LANGUAGES, node, put, read, root, run, TYPESCRIPT } from './folder.js';

describe('create', () => {
  it.each(LANGUAGES)('writes a file in %s that the loader takes as it is', async (_language, manifest, extension) => {
    await put('package.json', manifest);
    const { file, test } = await create('Unify contacts');
    expect(file).toBe(`scripts/migrations/20261123T090030-unify-contacts.${extension}`);
    // Node's own runner takes JavaScript, whatever the migration is in.
    expect(test).toBe('scripts/migrations/20261123T090030-unify-contacts.test.mjs');
    const [found, ...others] = await findMigrations(join(cwd, 'scripts/migrations'));
    expect(others).toEqual([]);
    if (!found) throw new Error('the file was not found');
    const { id, migration } = await loadMigration(found);
    expect(id).toBe('20261123T090030-unify-contacts');
    expect(migration).toMatchObject({ description: 'Unify contacts', pr: '', steps: [{ kind: 'transform' }] });
  });

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
    const broken = file.replace('.ts', '-broken.ts');
    await put(broken, (await read(file)).replace('schemaVersion: 2 }', "schemaVersion: 'two' }"));
    const { output } = await node(join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', '.');
    // All of it is taken, but for the one that is wrong.
    const lines = output.split('\n').filter((line) => /^\S/.test(line));
    expect(lines).toEqual([expect.stringMatching(/-broken\.ts\(.*TS2322/)]);
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
    await create('unify contacts');
    expect(await read(file)).toBe('mine');
    await rm(join(cwd, 'scripts/migrations'), { recursive: true });
    await put(test, 'my test');
    await expect(create('unify contacts')).rejects.toMatchObject({
      code: 'GODWIT_EXISTS',
      message: expect.stringContaining(test) as unknown,
    });
    expect(await read(test)).toBe('my test');
    await expect(read(file)).rejects.toMatchObject({ code: 'ENOENT' });
    await rm(join(cwd, test));
    // One that is there has an id of its own: the next takes the second after it.
    await put('scripts/migrations/20261123T090030-unify-contacts.cjs', 'other');
    expect((await create('unify contacts')).file).toContain('20261123T090031-unify-contacts');
    expect((await create('and more')).file).toContain('20261123T090032-and-more');
  });

  it('writes into the folder that the configuration names, and nothing for a wrong name or kind', async () => {
    await put('godwit.config.json', { migrations: 'db/changes' });
    await expect(create('../evil')).rejects.toMatchObject({ code: 'GODWIT_USAGE' });
    await expect(create('fine', { kind: 'transfrom' })).rejects.toMatchObject({ code: 'GODWIT_USAGE' });
    await expect(read('db/changes')).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await create('fine')).file).toBe('db/changes/20261123T090030-fine.mjs');
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
