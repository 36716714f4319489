/** Reads file, environment and flags (later wins) into one frozen value that knows where each part came from. */
import { access, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type * as z from 'zod';
import * as authoring from '../domain/authoring.js';
import { GodwitError } from '../errors.js';
import { loadDefault } from '../kernel/load-module.js';
import { didYouMean } from '../kernel/nearest.js';
import { configSchema, environmentName, SETTINGS } from './schema.js';
import type { Settings } from './settings.js';
import { chooseTarget, requireNames, type TargetInput } from './target.js';
import { lookUp, readVariables, type Variables, withVariables } from './variables.js';

/** `flag`, `environment`, the name of an environment file (`.env.local`), `file` (the configuration), or `default`. */
export type Origin = string;

export interface Config {
  readonly settings: Settings;
  /** Where each dotted path of the settings, and `uri` and `env`, came from. */
  readonly origins: Readonly<Record<string, Origin>>;
  readonly cwd: string;
  /** The configuration file, if there is one. */
  readonly file: string | null;
  readonly uri: string | undefined;
  readonly db: string | undefined;
  /** The chosen environment's name, if one was chosen. */
  readonly env: string | undefined;
  readonly isProduction: boolean;
  /** Absolute. */
  readonly migrationsFolder: string;
}

export interface ConfigInput extends TargetInput {
  /** The project's folder, absolute. */
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Values from flags or from the library's caller, by dotted path. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  /** Configuration file; looked for in `cwd` when left out. */
  readonly file?: string | undefined;
  /** File of variables, in place of `.env.local` and `.env`. */
  readonly envFile?: string | undefined;
}

const configError = (message: string, cause?: unknown): GodwitError =>
  new GodwitError('GODWIT_CONFIG', message, {
    next: ['docs/reference/config.md lists the keys and their values', 'godwit config   prints what is in force'],
    cause,
  });

const FILES = ['ts', 'mts', 'js', 'mjs', 'cjs', 'json'].map((extension) => `godwit.config.${extension}`);

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function findFile(input: ConfigInput): Promise<string | null> {
  if (input.file !== undefined) {
    const path = resolve(input.cwd, input.file);
    if (await exists(path)) return path;
    throw configError(`wanted the configuration file ${path}, found none`);
  }
  for (const name of FILES) if (await exists(join(input.cwd, name))) return join(input.cwd, name);
  return null;
}

async function readConfigFile(path: string | null): Promise<Record<string, unknown>> {
  if (!path) return {};
  try {
    const value: unknown = path.endsWith('.json')
      ? JSON.parse(await readFile(path, 'utf8'))
      : await loadDefault(path, { godwit: authoring });
    if (value !== null && typeof value === 'object') return value as Record<string, unknown>;
  } catch (error) {
    const detail = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw configError(`wanted a configuration in ${path}, found that it cannot be loaded: ${detail}`, error);
  }
  throw configError(`wanted a default export with a configuration in ${path}, found none`);
}

/**
 * Refuses a project's folder that is not there: nothing would be found in it, and that be told.
 *
 * @throws GodwitError GODWIT_USAGE
 */
export async function requireFolder(cwd: string): Promise<void> {
  const found = await stat(cwd).catch(() => null);
  if (found?.isDirectory()) return;
  throw new GodwitError('GODWIT_USAGE', `${cwd} is ${found ? 'no folder' : 'not there'}`, {
    next: ["check --cwd: it is the project's folder"],
  });
}

function setPath(target: Record<string, unknown>, path: string, value: unknown): void {
  const names = path.split('.');
  const last = names.pop() ?? path;
  let at = target;
  for (const name of names) {
    const next = at[name];
    if (next === null || typeof next !== 'object') at[name] = {};
    at = at[name] as Record<string, unknown>;
  }
  at[last] = value;
}

const hasPath = (value: unknown, path: string): boolean =>
  path
    .split('.')
    .reduce<unknown>(
      (at, name) => (at !== null && typeof at === 'object' ? (at as Record<string, unknown>)[name] : undefined),
      value,
    ) !== undefined;

/** Where the value at this path is from, in words. */
function sourceOf(path: string, origins: Readonly<Record<string, Origin>>, file: string | null): string {
  const known = SETTINGS.find((setting) => path === setting.path || path.startsWith(`${setting.path}.`));
  const origin = known ? origins[known.path] : undefined;
  if (origin === 'flag') return 'the options';
  if (origin === undefined || origin === 'file' || origin === 'default') return file ?? 'the configuration';
  const variable = environmentName(known?.path ?? path);
  return origin === 'environment' ? `the variable ${variable}` : `${variable} in ${origin}`;
}

/** What a value may be: of a choice every way that there is. */
function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_union')
    return issue.message.replace(/^Invalid input: /, '').replace(/, received NaN$/, '');
  const ways = issue.errors.flatMap(([first]) => (first ? wordsOf(first) : []));
  return [...new Set(ways)].join(', or ');
}

function toError(error: z.ZodError, origins: Readonly<Record<string, Origin>>, file: string | null): GodwitError {
  const [issue] = error.issues;
  const path = issue?.path.join('.') ?? '';
  const where = sourceOf(path, origins, file);
  if (issue?.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const known = SETTINGS.map((setting) => setting.path.split('.')).flatMap((names) => names[issue.path.length] ?? []);
    return new GodwitError(
      'GODWIT_CONFIG',
      `wanted a known key in ${where}, found "${[...issue.path, key].join('.')}".${didYouMean(key, new Set(known))}`,
      {
        next: ['docs/reference/config.md lists the keys'],
      },
    );
  }
  const words = issue ? wordsOf(issue) : error.message;
  return configError(`wanted a valid ${path === '' ? 'configuration' : path} in ${where}, found otherwise: ${words}`);
}

/** A list or an object is given as JSON in an environment variable; everything else as text. */
function fromText(text: string): unknown {
  if (!/^[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * The configuration of a project.
 *
 * @throws GodwitError GODWIT_CONFIG for an unknown key (with the nearest name), a wrong value, an unknown environment
 */
export async function loadConfig(input: ConfigInput): Promise<Config> {
  const { uri, db, environment, envFile } = input;
  requireNames({ '--uri': uri, '--db': db, '--env': environment, '--config': input.file, '--env-file': envFile });
  await requireFolder(input.cwd);
  const file = await findFile(input);
  const variables = await readVariables(input.cwd, input.env ?? process.env, envFile);
  const raw = structuredCloneable(await withVariables(variables, () => readConfigFile(file)));
  const origins: Record<string, Origin> = {};
  for (const { path } of SETTINGS) origins[path] = hasPath(raw, path) ? 'file' : 'default';
  for (const { path } of SETTINGS) {
    const found = lookUp(variables, environmentName(path));
    if (!found) continue;
    setPath(raw, path, fromText(found.value));
    origins[path] = found.origin;
  }
  for (const [path, value] of Object.entries(input.overrides ?? {})) {
    if (value === undefined) continue;
    setPath(raw, path, value);
    origins[path] = 'flag';
  }
  const parsed = configSchema.safeParse(raw);
  if (!parsed.success) throw toError(parsed.error, origins, file);
  return finish(input, parsed.data, origins, file, variables);
}

/** A copy that may be written to; functions and classes have no place in a configuration. */
function structuredCloneable(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      item !== null && typeof item === 'object' && !Array.isArray(item)
        ? structuredCloneable(item as Record<string, unknown>)
        : item,
    ]),
  );
}

async function finish(
  input: ConfigInput,
  settings: Settings,
  origins: Readonly<Record<string, Origin>>,
  file: string | null,
  variables: Variables,
): Promise<Config> {
  const text = file === null ? null : await readFile(file, 'utf8');
  const target = chooseTarget(input, settings, variables, text);
  return Object.freeze({
    settings,
    origins: { ...origins, ...target.origins },
    cwd: input.cwd,
    file,
    uri: target.uri,
    db: target.db,
    env: input.environment,
    isProduction: target.isProduction,
    migrationsFolder: resolve(input.cwd, settings.migrations),
  });
}
