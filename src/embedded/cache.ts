/** Godwit's own folder of mongods: `<cache>/godwit/mongod-<version>/mongod`. */
import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Look, probeMongod } from './mongod-binary.js';

const MONGOD_FOLDER = /^mongod-\d/;

/** Godwit's cache folder. @param cacheDir the base; default `XDG_CACHE_HOME`, else `~/.cache` */
export function cacheFolder(env: NodeJS.ProcessEnv, cacheDir?: string): string {
  const xdg = env['XDG_CACHE_HOME'];
  const home = env['HOME'] || homedir();
  return join(cacheDir ?? (xdg || join(home, '.cache')), 'godwit');
}

export function cachedMongod(cache: string, version: string): string {
  return join(cache, `mongod-${version}`, 'mongod');
}

/** The newest mongod in the cache that runs. */
export async function fromCache(cache: string): Promise<Look> {
  const names = await readdir(cache).catch((): string[] => []);
  const newestFirst = names
    .filter((name) => MONGOD_FOLDER.test(name))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  let why: Look = { because: `${cache} holds none` };
  for (const name of newestFirst) {
    const path = join(cache, name, 'mongod');
    const probe = await probeMongod(path);
    if ('version' in probe) return { path, source: `mongod ${probe.version} from Godwit's cache (${path})` };
    why = probe;
  }
  return why;
}
