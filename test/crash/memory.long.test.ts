/** A process with little memory, and large documents. */
import { describe, expect, inject, test } from 'vitest';
import { runProcessJson } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

describe('a process that runs out of memory', () => {
  const scratch = useScratch('memory', () => inject('mongoUri'));

  test('is none with documents of 1 MB: batches are cut by their bytes', { tags: ['F11'] }, async () => {
    const { db, uri } = scratch.make();
    const cwd = await makeMigration("(doc) => ({ ...doc, mark: 'x' })");
    await db
      .collection<{ _id: number; big: string }>('people')
      .insertMany(Array.from({ length: 60 }, (_, _id) => ({ _id, big: 'b'.repeat(1_000_000) })));
    const { code, json } = await runProcessJson(['run', 'm1'], {
      cwd,
      uri,
      env: { NODE_OPTIONS: '--max-old-space-size=96' },
    });
    expect([code, json['changed']]).toEqual([0, 60]);
  });
});
