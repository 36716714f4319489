/**
 * Loads a user's file, TypeScript or JavaScript, ESM or CommonJS, on every supported Node. jiti compiles them alike
 * and keeps the lines, so that errors point into the user's file.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createJiti } from 'jiti';
import { cacheFolder } from './cache-folder.js';

/** By its words: jiti does not tell. */
async function isCommonJs(path: string): Promise<boolean> {
  return path.endsWith('.json') || /\bmodule\.exports\b/.test(await readFile(path, 'utf8'));
}

/**
 * The default export of the file at `path` (absolute), or undefined when it has none.
 *
 * @param virtual modules given by name instead of being looked for, so that a project need not install them
 */
export async function loadDefault(path: string, virtual: Readonly<Record<string, unknown>>): Promise<unknown> {
  const jiti = createJiti(path, {
    virtualModules: { ...virtual },
    // By the source's hash. Not jiti's own folder: that may lie in the machine's temporary one, where others write.
    fsCache: join(cacheFolder(process.env), 'compiled'),
    moduleCache: false,
    tryNative: false,
    interopDefault: false,
    // `compilerOptions.paths` of the project.
    tsconfigPaths: true,
  });
  const loaded: unknown = await jiti.import(path);
  if (loaded === null || typeof loaded !== 'object') return undefined;
  // A module without a default has none; what CommonJS exports is its default.
  const given: unknown = 'default' in loaded ? loaded.default : (await isCommonJs(path)) ? loaded : undefined;
  // A CommonJS file compiled from `export default` has its default one level down.
  return given !== null && typeof given === 'object' && '__esModule' in given && 'default' in given
    ? given.default
    : given;
}
