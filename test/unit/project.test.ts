import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { environmentName, SETTINGS } from '../../src/config/schema.js';
import { checksumOf } from '../../src/migration/checksum.js';
import { findMigration, findMigrations } from '../../src/migration/find.js';
import { loadMigration } from '../../src/migration/load.js';
import { makeProject } from '../support/project.js';

const DEFINE =
  "defineMigration({ description: 'x', steps: [transform({ collection: 'c', up: (doc) => ({ ...doc, v }) })] })";
const ESM = `import { defineMigration, transform } from 'godwit';\nimport { v } from './lib/v.js';\nexport default ${DEFINE};\n`;
const CJS = `const { defineMigration, transform } = require('godwit');\nconst { v } = require('./lib/v.js');\nmodule.exports = ${DEFINE};\n`;

describe('migration files', () => {
  test.each([
    ['ts', ESM],
    ['mts', ESM],
    ['js', ESM],
    ['mjs', ESM],
    ['cjs', CJS],
    ['js', CJS],
  ])('load as .%s, with what they import', async (extension, text) => {
    const library = text === CJS && extension !== 'ts' ? 'exports.v = 2;' : 'export const v = 2;';
    const cwd = await makeProject({ [`m/m1.${extension}`]: text, 'm/lib/v.js': library });
    const loaded = await loadMigration(await findMigration(join(cwd, 'm'), 'm1'));
    const [step] = loaded.migration.steps;
    expect(step?.kind === 'transform' && step.up({ _id: 1 }, {} as never)).toEqual({ _id: 1, v: 2 });
    expect(loaded.files.map(({ path }) => path)).toEqual(['lib/v.js', `m1.${extension}`]);
  });

  test('are found in name order; tests, types and folders are none', async () => {
    const cwd = await makeProject({
      'm/b.ts': '',
      'm/a.mjs': '',
      'm/b.test.ts': '',
      'm/c.d.ts': '',
      'm/lib/d.ts': '',
      'm/.hidden.js': '',
      'm/README.md': '',
    });
    expect((await findMigrations(join(cwd, 'm'))).map(({ id }) => id)).toEqual(['a', 'b']);
    expect(await findMigrations(join(cwd, 'nowhere'))).toEqual([]);
  });

  test('are summed up by their sources: line ends are no change, a comment and an import are', async () => {
    const cwd = await makeProject({
      'a.ts': "import { b } from './b.js';\nexport default b;\n",
      'b.ts': "export { c as b } from './c';\n",
      'c.ts': 'export const c = 1;\n',
    });
    const sum = async (): Promise<string> => (await checksumOf(join(cwd, 'a.ts'))).checksum;
    const first = await sum();
    expect((await checksumOf(join(cwd, 'a.ts'))).files.map(({ path }) => path)).toEqual(['a.ts', 'b.ts', 'c.ts']);
    await writeFile(join(cwd, 'c.ts'), 'export const c = 1;\r\n');
    expect(await sum()).toBe(first);
    await writeFile(join(cwd, 'c.ts'), 'export const c = 1; // why\n');
    expect(await sum()).not.toBe(first);
  });
});

describe('the configuration', () => {
  test('is the file, then .env, then the environment, then flags; each value knows where it came from', async () => {
    const cwd = await makeProject({
      'godwit.config.mjs':
        "import { defineConfig } from 'godwit';\nexport default defineConfig({ leaseMs: '20s', batch: { size: 100, maxBytes: '1MiB' }, workers: 3 });\n",
      '.env': 'GODWIT_BATCH_SIZE=200\nMONGODB_URI=mongodb://from-dotenv/x\n',
    });
    const config = await loadConfig({ cwd, env: { GODWIT_WORKERS: '4' }, overrides: { 'state.prefix': 'mine' } });
    expect(config.settings).toMatchObject({
      leaseMs: 20_000,
      batch: { size: 200, maxBytes: 1_048_576 },
      workers: 4,
      state: { prefix: 'mine' },
    });
    expect(config.origins).toMatchObject({
      leaseMs: 'file',
      'batch.size': '.env',
      workers: 'environment',
      'state.prefix': 'flag',
      migrations: 'default',
      uri: '.env',
    });
    expect(config.uri).toBe('mongodb://from-dotenv/x');
  });

  test.each([
    ['an unknown key', 'export default { bacth: { size: 1 } };', /"bacth".*Did you mean "batch"/],
    ['an unknown key below', 'export default { batch: { sizes: 1 } };', /"batch.sizes".*Did you mean "size"/],
    ['a wrong value', "export default { leaseMs: 'soon' };", /leaseMs/],
    ['a file that throws', "throw new Error('no');", /cannot be loaded/],
    ['no default export', 'export const x = 1;', /found none/],
  ])('is refused for %s', async (_what, text, message) => {
    const cwd = await makeProject({ 'godwit.config.mjs': text });
    await expect(loadConfig({ cwd, env: {} })).rejects.toMatchObject({
      code: 'GODWIT_CONFIG',
      message: expect.stringMatching(message),
    });
  });

  test('names a variable for every setting', () => {
    expect(environmentName('batch.maxBytes')).toBe('GODWIT_BATCH_MAX_BYTES');
    expect(new Set(SETTINGS.map(({ path }) => environmentName(path))).size).toBe(SETTINGS.length);
    expect(SETTINGS.every(({ description }) => description !== '')).toBe(true);
  });

  test('chooses a named environment, and only one that is there', async () => {
    const cwd = await makeProject({
      'godwit.config.json': '{"environments":{"production":{"uri":"mongodb://p/x","production":true}}}',
    });
    const config = await loadConfig({ cwd, env: {}, environment: 'production' });
    expect([config.uri, config.isProduction, config.env]).toEqual(['mongodb://p/x', true, 'production']);
    await expect(loadConfig({ cwd, env: {}, environment: 'prodution' })).rejects.toMatchObject({
      message: expect.stringContaining('Did you mean "production"'),
    });
  });
});
