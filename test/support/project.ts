/** A user's project in a temporary folder: migration files by name. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll } from 'vitest';

const made: string[] = [];

// Not after each test: those beside it may still use theirs.
afterAll(async () => {
  for (const folder of made.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** Writes the files (paths relative to the project) and returns the project's folder; removed after the tests of the file. */
export async function makeProject(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'godwit-test-'));
  made.push(folder);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return folder;
}

/** A project with one migration `m1` whose transform has this `up` and these further options (source text). */
export const makeMigration = (up: string, options = "collection: 'people'"): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, transform } from 'godwit';
export default defineMigration({
  description: 'a test',
  steps: [transform({ ${options}, up: ${up} })],
});
`,
  });
