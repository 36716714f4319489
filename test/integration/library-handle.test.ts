/** A run of the library is awaited as its result is, and its error is never lost; reports are kept, but not for ever. */
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { godwit } from '../../src/godwit.js';
import { checksumOf } from '../../src/migration/checksum.js';
import { useDatabase } from '../support/database.js';
import { makeMigration, makeProject } from '../support/project.js';

const UP = '(doc) => (doc.mark ? doc : { ...doc, mark: 1 })';

describe('a handle', () => {
  const { db, uri } = useDatabase('handle');

  test('is awaited as its result, with what it rejects with', async () => {
    await db.collection<{ _id: number }>('people').insertMany([{ _id: 1 }, { _id: 2 }]);
    await using g = await godwit({ cwd: await makeMigration(UP), uri });
    expect(await g.run('m1')).toMatchObject({ state: 'completed', changed: 2 });
    expect(await g.rollback('m1')).toMatchObject({ identical: true });
    await expect(g.run('nobody')).rejects.toMatchObject({ code: 'GODWIT_MIGRATION_UNKNOWN' });
  });

  test('that nobody waits for does not swallow its error', async () => {
    await using g = await godwit({ cwd: await makeMigration(UP), uri });
    // The test runner counts what nobody has handled as its own error: it is asked to look away for a moment.
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    try {
      const lost = once(process, 'unhandledRejection');
      g.run('nobody').on('run:batch', () => undefined);
      const [error] = (await lost) as [unknown];
      expect(error).toMatchObject({ code: 'GODWIT_MIGRATION_UNKNOWN' });
    } finally {
      for (const listener of listeners) process.on('unhandledRejection', listener);
    }
  });

  test('reports are kept, twenty of them, and nothing else is taken away', async () => {
    await db.collection<{ _id: number }>('people').insertMany([{ _id: 1 }]);
    const cwd = await makeMigration(UP);
    const folder = join(cwd, '.godwit/reports');
    await mkdir(folder, { recursive: true });
    for (let n = 10; n < 35; n += 1) await writeFile(join(folder, `m1-20250101T0000${n}Z.json`), '{}');
    await writeFile(join(folder, 'm1-20250101T000010Z-contacts-duplicates.csv'), '');
    await writeFile(join(folder, 'mine.json'), '{}');
    await using g = await godwit({ cwd, uri });
    const reports = await Promise.all([g.dryRun('m1'), g.dryRun('m1')]);
    const names = await readdir(folder);
    expect(names).toContain('mine.json');
    expect(names).not.toContain('m1-20250101T000010Z-contacts-duplicates.csv');
    // Of two at once, each has its own.
    expect(new Set(reports.flatMap(({ files }) => files)).size).toBe(2);
    for (const { files } of reports) expect(names).toContain(files[0]?.split('/').at(-1));
    expect(names.filter((name) => name.startsWith('m1-'))).toHaveLength(20);
  });
});

test("what `compilerOptions.paths` leads to is loaded, and part of a migration's checksum", async () => {
  const cwd = await makeProject({
    'tsconfig.json': JSON.stringify({ compilerOptions: { baseUrl: '.', paths: { '@lib/*': ['lib/*'] } } }),
    'lib/mark.ts': "export const mark: string = 'x';\n",
    'scripts/migrations/m1.ts': `import { mark } from '@lib/mark';
import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: mark, steps: [transform({ collection: 'people', up: (doc) => ({ ...doc, mark }) })] });
`,
  });
  const file = join(cwd, 'scripts/migrations/m1.ts');
  const before = await checksumOf(file);
  expect(before.files.map(({ path }) => path)).toEqual(['../../lib/mark.ts', 'm1.ts']);
  await writeFile(join(cwd, 'lib/mark.ts'), "export const mark: string = 'y';\n");
  expect((await checksumOf(file)).checksum).not.toBe(before.checksum);
  const { loadMigration } = await import('../../src/migration/load.js');
  expect((await loadMigration({ id: 'm1', path: file })).migration.description).toBe('y');
});
