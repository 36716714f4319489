/** `create`: a new migration file and its test. Neither ever replaces a file. */
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import type { Config } from '../config/load.js';
import { GodwitError } from '../errors.js';
import { findMigrations } from '../migration/find.js';
import { migrationId } from '../migration/names.js';
import { migrationText, requireKind } from '../migration/scaffold.js';
import { migrationTestText } from '../migration/scaffold-test.js';
import { exists, readProject } from './project.js';

export interface CreateOptions {
  readonly config: Config;
  /** In any spelling: `Unify contacts`, `unify-contacts`. */
  readonly name: string;
  /** One of MIGRATION_KINDS; `transform` when left out. */
  readonly kind?: string | undefined;
  /** The second in the file's name; now when left out. */
  readonly now?: Date | undefined;
  readonly cwd: string;
}

/** Paths relative to `cwd`, with `/`. */
export interface CreateResult {
  readonly file: string;
  readonly test: string;
}

const NO_AUTHOR = 'add your name here';

async function gitSetting(cwd: string, key: string): Promise<string> {
  return promisify(execFile)('git', ['config', '--get', key], { cwd }).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
}

/** `Ana Lima <ana@example.test>`, as far as git knows it. */
async function readAuthor(cwd: string): Promise<string> {
  const [name, email] = [await gitSetting(cwd, 'user.name'), await gitSetting(cwd, 'user.email')];
  return [name, email && (name ? `<${email}>` : email)].filter(Boolean).join(' ') || NO_AUTHOR;
}

function taken(path: string): GodwitError {
  return new GodwitError('GODWIT_EXISTS', `wanted to write a new file, found that ${path} exists`, {
    next: ['choose another name', 'godwit list'],
    details: { file: path },
  });
}

async function writeNew(cwd: string, path: string, text: string): Promise<void> {
  await writeFile(join(cwd, path), text, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? taken(path) : error;
  });
}

/** Both files or none. */
async function writeBoth(cwd: string, paths: CreateResult, texts: CreateResult): Promise<void> {
  await writeNew(cwd, paths.file, texts.file);
  await writeNew(cwd, paths.test, texts.test).catch(async (error: unknown) => {
    await rm(join(cwd, paths.file));
    throw error;
  });
}

/**
 * Writes `YYYYMMDDTHHMMSS-name.ts` and `….test.ts` (`.mjs` in a project without TypeScript) into the migrations' folder.
 *
 * @throws GodwitError GODWIT_USAGE for a name or a kind that will not do, GODWIT_EXISTS, GODWIT_MIGRATION_DUPLICATE
 */
export async function createMigration(options: CreateOptions): Promise<CreateResult> {
  const { config, cwd } = options;
  const kind = requireKind(options.kind ?? 'transform');
  const there = await findMigrations(config.migrationsFolder);
  const id = migrationId(
    options.name,
    options.now ?? new Date(),
    there.map((file) => file.id),
  );
  const { isTypeScript, typeScriptExtension, packages } = await readProject(cwd);
  const migration = isTypeScript ? typeScriptExtension : 'mjs';
  const written = isTypeScript ? 'ts' : 'mjs';
  const runner = packages.has('vitest') ? 'vitest' : 'node:test';
  // Node's own runner takes TypeScript from Node 22.18 on only.
  const language = runner === 'vitest' ? written : 'mjs';
  const pathOf = (ending: string): string =>
    relative(cwd, join(config.migrationsFolder, `${id}${ending}`)).replaceAll('\\', '/');
  const paths = { file: pathOf(`.${migration}`), test: pathOf(`.test.${language}`) };
  const twin = there.find((file) => file.id === id);
  if (twin) throw taken(relative(cwd, twin.path).replaceAll('\\', '/'));
  if (await exists(join(cwd, paths.test))) throw taken(paths.test);
  await mkdir(config.migrationsFolder, { recursive: true });
  await writeBoth(cwd, paths, {
    file: migrationText({ id, kind, language: written, author: await readAuthor(cwd) }),
    test: migrationTestText({
      id,
      ...{ kind, language, migration, runner },
      path: paths.test,
    }),
  });
  return paths;
}
