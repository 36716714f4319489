/** Godwit's own folder of mongods: `<cache>/godwit/mongod-<version>/mongod`. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Look, probeMongod } from './mongod-binary.js';

const MONGOD_FOLDER = /^mongod-\d/;

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
