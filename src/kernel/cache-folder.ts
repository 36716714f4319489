import { homedir } from 'node:os';
import { join } from 'node:path';

/** Godwit's cache folder. @param cacheDir the base; default `XDG_CACHE_HOME`, else `~/.cache` */
export function cacheFolder(env: NodeJS.ProcessEnv, cacheDir?: string): string {
  const xdg = env['XDG_CACHE_HOME'];
  const home = env['HOME'] || homedir();
  return join(cacheDir ?? (xdg || join(home, '.cache')), 'godwit');
}
