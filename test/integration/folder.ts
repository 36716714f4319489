/** A folder that a user begins a project in, and the programs that are run there. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { type CreateResult, createMigration } from '../../src/verbs/create.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const NOW = new Date('2026-11-23T09:00:30Z');
export const TYPESCRIPT = { devDependencies: { typescript: '5.9.3' } };
export const LANGUAGES = [
  ['TypeScript', TYPESCRIPT, 'ts'],
  ['JavaScript', { name: 'crm' }, 'mjs'],
] as const;

/** A new one for each test. */
export let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(await realpath(tmpdir()), 'godwit-project-'));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

export async function put(path: string, text: string | object): Promise<void> {
  await mkdir(dirname(join(cwd, path)), { recursive: true });
  await writeFile(join(cwd, path), typeof text === 'string' ? text : JSON.stringify(text));
}

export const read = (path: string): Promise<string> => readFile(join(cwd, path), 'utf8');

interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Runs a program in the project; `vitest` must not think that it runs inside of us. */
export async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
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

export const node = (...args: readonly string[]): Promise<Ended> => run(process.execPath, args);

/** What `npm install godwit` would give, from our sources: a project imports the real defineMigration. */
export async function installGodwit(): Promise<void> {
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

export async function create(name: string, more: { kind?: string; now?: Date } = {}): Promise<CreateResult> {
  return createMigration({ config: await loadConfig({ cwd, env: {} }), name, cwd, now: NOW, ...more });
}
