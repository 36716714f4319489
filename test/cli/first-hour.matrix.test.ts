/** The first hour of a project: what `init` and `create` write compiles, and its tests pass as they say they are run. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { matrix } from '../support/tiers.js';

const run = promisify(execFile);
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const KINDS = ['transform', 'pipeline', 'merge', 'references', 'schema', 'script'];

interface Variant {
  readonly type?: 'module';
  /** Of a TypeScript project; a JavaScript one has none. */
  readonly compilerOptions?: Readonly<Record<string, string>>;
}

const VARIANTS: Readonly<Record<string, Variant>> = {
  'TypeScript, commonjs': { compilerOptions: { module: 'commonjs' } },
  'TypeScript, node16': { type: 'module', compilerOptions: { module: 'node16' } },
  'TypeScript, node16 without a type': { compilerOptions: { module: 'node16' } },
  'TypeScript, nodenext': { type: 'module', compilerOptions: { module: 'nodenext' } },
  'TypeScript, bundler': { type: 'module', compilerOptions: { module: 'esnext', moduleResolution: 'bundler' } },
  CommonJS: {},
  ESM: { type: 'module' },
};

describe('a project of', () => {
  let home = '';

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'godwit-hour-'));
    await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', home], { cwd: REPOSITORY });
    const [tarball] = (await readdir(home)).filter((name) => name.endsWith('.tgz'));
    await writeFile(join(home, 'package.json'), '{"name":"somebody","private":true}');
    const options = ['--no-audit', '--no-fund', '--prefer-offline', '--silent'];
    await run('npm', ['install', ...options, `./${tarball}`, 'typescript@5', '@types/node@20'], { cwd: home });
  });

  afterAll(() => rm(home, { recursive: true, force: true }));

  async function project(name: string, { type, compilerOptions }: Variant): Promise<string> {
    const cwd = join(home, name.replace(/\W+/g, '-'));
    await mkdir(cwd);
    await symlink(join(home, 'node_modules'), join(cwd, 'node_modules'));
    const devDependencies = compilerOptions ? { devDependencies: { typescript: '^5' } } : {};
    await writeFile(
      join(cwd, 'package.json'),
      JSON.stringify({ name: 'p', ...(type ? { type } : {}), ...devDependencies }),
    );
    const options = { strict: true, target: 'es2022', noEmit: true, types: ['node'], ...compilerOptions };
    if (compilerOptions) await writeFile(join(cwd, 'tsconfig.json'), JSON.stringify({ compilerOptions: options }));
    return cwd;
  }

  test.each(matrix(Object.entries(VARIANTS)))('%s begins without a word of complaint', async (name, variant) => {
    const cwd = await project(name, variant);
    const godwit = (...args: readonly string[]) => run(join(home, 'node_modules/.bin/godwit'), [...args], { cwd });
    await godwit('init');
    const tests: string[] = [];
    for (const kind of KINDS) {
      const { stdout } = await godwit('create', `my ${kind}`, '--kind', kind, '--json');
      tests.push((JSON.parse(stdout) as { test: string }).test);
    }
    // As they were created, though all within some seconds.
    expect([...tests].sort()).toEqual(tests);
    if (variant.compilerOptions)
      expect(await run(join(home, 'node_modules/.bin/tsc'), ['-p', '.'], { cwd })).toMatchObject({ stdout: '' });
    const lines: string[] = [];
    for (const path of tests) {
      const line = /Run it: {2}(node .+)$/m.exec(await readFile(join(cwd, path), 'utf8'))?.[1] ?? '';
      expect(line).toContain(path);
      lines.push(line);
    }
    const [first = ''] = lines;
    const files = lines.map((line) => line.split(' ').at(-1) ?? '');
    const { stdout } = await run('node', [...first.split(' ').slice(1, -1), ...files], { cwd });
    expect(stdout).toMatch(/(?:#|ℹ) fail 0/);
    expect(stdout).toMatch(/(?:#|ℹ) pass [1-9]/);
  });

  test('somebody who leaves optional packages out can ask for the version, and is told what is missing', async () => {
    const cwd = join(home, 'bare');
    await mkdir(cwd);
    const [tarball] = (await readdir(home)).filter((name) => name.endsWith('.tgz'));
    await writeFile(join(cwd, 'package.json'), '{"name":"bare","private":true}');
    const options = ['--omit=optional', '--no-audit', '--no-fund', '--prefer-offline', '--silent'];
    await run('npm', ['install', ...options, `../${tarball}`], { cwd });
    const godwit = (...args: readonly string[]) => run(join(cwd, 'node_modules/.bin/godwit'), [...args], { cwd });
    expect((await godwit('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await godwit('--help')).stdout).toContain('rollback');
    await godwit('init');
    await godwit('create', 'first');
    const told = await godwit('list', '--uri', 'mongodb://127.0.0.1:1/x').catch((error: { stderr: string }) => error);
    expect(told.stderr).toContain('GODWIT_NO_PRIMARY');
  });
});
