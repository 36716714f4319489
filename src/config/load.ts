/** Reads file, environment and flags (later wins) into one frozen value that knows where each part came from. */
import { access, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import type * as z from 'zod';
import * as authoring from '../domain/authoring.js';
import { GodwitError } from '../errors.js';
import { loadDefault } from '../kernel/load-module.js';
import { didYouMean } from '../kernel/nearest.js';
import { configSchema, environmentName, SETTINGS } from './schema.js';
import type { Settings } from './settings.js';

export type Origin = 'flag' | 'environment' | '.env' | 'file' | 'default';

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

export interface ConfigInput {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Values from flags or from the library's caller, by dotted path. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  readonly uri?: string | undefined;
  readonly db?: string | undefined;
  /** Name of an environment of the configuration. */
  readonly environment?: string | undefined;
  /** Configuration file; looked for in `cwd` when left out. */
  readonly file?: string | undefined;
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
  if (input.file) {
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

async function readDotEnv(cwd: string): Promise<Readonly<Record<string, string | undefined>>> {
  const path = join(cwd, '.env');
  return (await exists(path)) ? parseEnv(await readFile(path, 'utf8')) : {};
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

function toError(error: z.ZodError, file: string | null): GodwitError {
  const [issue] = error.issues;
  const where = file ?? 'the environment or the flags';
  if (issue?.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const known = SETTINGS.map(({ path }) => path.split('.')).flatMap((names) => names[issue.path.length] ?? []);
    return new GodwitError(
      'GODWIT_CONFIG',
      `wanted a known key in ${where}, found "${[...issue.path, key].join('.')}".${didYouMean(key, new Set(known))}`,
      {
        next: ['docs/reference/config.md lists the keys'],
      },
    );
  }
  const path = issue?.path.join('.') ?? 'configuration';
  return configError(`wanted a valid ${path} in ${where}, found otherwise: ${issue?.message ?? error.message}`);
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
  const file = await findFile(input);
  const raw = structuredCloneable(await readConfigFile(file));
  const dotEnv = await readDotEnv(input.cwd);
  const processEnv = input.env ?? process.env;
  const origins: Record<string, Origin> = {};
  for (const { path } of SETTINGS) origins[path] = hasPath(raw, path) ? 'file' : 'default';
  const layers: readonly (readonly [Origin, NodeJS.ProcessEnv])[] = [
    ['.env', dotEnv],
    ['environment', processEnv],
  ];
  for (const [origin, variables] of layers)
    for (const { path } of SETTINGS) {
      const text = variables[environmentName(path)];
      if (text === undefined || text === '') continue;
      setPath(raw, path, fromText(text));
      origins[path] = origin;
    }
  for (const [path, value] of Object.entries(input.overrides ?? {})) {
    if (value === undefined) continue;
    setPath(raw, path, value);
    origins[path] = 'flag';
  }
  const parsed = configSchema.safeParse(raw);
  if (!parsed.success) throw toError(parsed.error, file);
  return finish(input, parsed.data, origins, file, { dotEnv, processEnv });
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

function finish(
  input: ConfigInput,
  settings: Settings,
  origins: Record<string, Origin>,
  file: string | null,
  variables: { readonly dotEnv: NodeJS.ProcessEnv; readonly processEnv: NodeJS.ProcessEnv },
): Config {
  const named = input.environment === undefined ? undefined : settings.environments[input.environment];
  if (input.environment !== undefined && !named)
    throw new GodwitError(
      'GODWIT_CONFIG',
      `wanted the environment "${input.environment}", found none of that name.${didYouMean(input.environment, Object.keys(settings.environments))}`,
      {
        next: ['name it in godwit.config: environments: { NAME: { uri: … } }'],
      },
    );
  const candidates: readonly (readonly [Origin, string | undefined])[] = [
    ['flag', input.uri],
    ['file', named?.uri],
    ['environment', variables.processEnv['MONGODB_URI']],
    ['.env', variables.dotEnv['MONGODB_URI']],
  ];
  const chosen = candidates.find(([, uri]) => uri !== undefined && uri !== '');
  if (chosen) origins['uri'] = chosen[0];
  if (input.environment !== undefined) origins['env'] = 'flag';
  return Object.freeze({
    settings,
    origins,
    cwd: input.cwd,
    file,
    uri: chosen?.[1],
    db: input.db ?? named?.db ?? settings.db,
    env: input.environment,
    isProduction: named?.production ?? false,
    migrationsFolder: resolve(input.cwd, settings.migrations),
  });
}
