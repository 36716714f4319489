/** What a project's `package.json` and files say about it: which language, module system and packages it uses. */
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getTsconfig } from 'get-tsconfig';
import * as z from 'zod';
import { GodwitError } from '../errors.js';

export interface Project {
  /** A tsconfig.json, or typescript among its packages: new files are TypeScript. */
  readonly isTypeScript: boolean;
  /** Of a new file in TypeScript: `.mts` where a `.ts` file would be CommonJS to the compiler, which cannot import ES modules. */
  readonly typeScriptExtension: 'ts' | 'mts';
  /** What a `.js` file is. */
  readonly moduleSystem: 'esm' | 'cjs';
  /** Names in dependencies, devDependencies and peerDependencies. */
  readonly packages: ReadonlySet<string>;
}

const versions = z.record(z.string(), z.unknown()).optional();
const manifest = z.object({
  type: z.string().optional(),
  dependencies: versions,
  devDependencies: versions,
  peerDependencies: versions,
});

/** True when something is at the path. */
export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function readManifest(path: string): Promise<z.output<typeof manifest>> {
  if (!(await exists(path))) return {};
  try {
    return manifest.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new GodwitError('GODWIT_CONFIG', `wanted to read ${path}, found that it is no package.json`, {
      next: ['mend it: `npm pkg get name` says where it breaks'],
      cause: error,
    });
  }
}

/** Values of `compilerOptions.module` by which the package's `type` decides what a `.ts` file is. */
const BY_TYPE = /^node(16|18|20|next)$/i;

function isByType(cwd: string): boolean {
  try {
    return BY_TYPE.test(String(getTsconfig(cwd)?.config.compilerOptions?.module));
  } catch {
    // Not to be read: the compiler says why.
    return false;
  }
}

/**
 * Reads the project in `cwd`; a folder without package.json is one of plain JavaScript.
 *
 * @throws GodwitError GODWIT_CONFIG for a package.json that cannot be read
 */
export async function readProject(cwd: string): Promise<Project> {
  const { type, dependencies, devDependencies, peerDependencies } = await readManifest(join(cwd, 'package.json'));
  const packages = new Set(Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies }));
  return {
    isTypeScript: packages.has('typescript') || (await exists(join(cwd, 'tsconfig.json'))),
    typeScriptExtension: type !== 'module' && isByType(cwd) ? 'mts' : 'ts',
    moduleSystem: type === 'module' ? 'esm' : 'cjs',
    packages,
  };
}
