/** A copy of src/ with a mutant's text in it, built into a temporary folder. The product itself has no hooks for this. */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from '../../scripts/build.mjs';
import type { Edit, Mutant } from './mutants.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COPIED = ['src', 'package.json'];

export interface Build extends AsyncDisposable {
  /** Its dist/cli/main.js. */
  readonly main: string;
}

async function damage(folder: string, { file, find, replace }: Edit): Promise<void> {
  const path = join(folder, 'src', file);
  const text = await readFile(path, 'utf8');
  const count = text.split(find).length - 1;
  if (count !== 1) throw new Error(`wanted "${find}" once in src/${file}, found it ${count} times: mend the mutant`);
  await writeFile(
    path,
    text.replace(find, () => replace),
  );
}

/** @throws when a text of the mutant is not found exactly once, or the copy can't be bundled */
export async function buildMutant(mutant: Mutant): Promise<Build> {
  const folder = await mkdtemp(join(tmpdir(), 'godwit-mutant-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    for (const name of COPIED) await cp(join(ROOT, name), join(folder, name), { recursive: true });
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    for (const edit of mutant.edits) await damage(folder, edit);
    await bundle(folder);
  } catch (error) {
    await remove();
    throw error;
  }
  return { main: join(folder, 'dist/cli/main.js'), [Symbol.asyncDispose]: remove };
}
