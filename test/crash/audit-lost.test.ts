/** The audit collection is dropped under a run (F52). Found beside the campaign. */
import { expect, test } from 'vitest';
import { runJson } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { holdAt } from '../support/held.js';
import { currentRun } from '../support/observe.js';
import { makeMigration } from '../support/project.js';
import { errorOf } from '../support/refusal.js';

const { db, uri } = useDatabase('audit_lost');
const RUN = ['run', 'm1', '--batch-size', '10', '--workers', '1', '--progress', 'none', '--json'];

test('a run whose audit was dropped in its middle is never called complete', {
  tags: ['F52', 'P5', 'P10'],
}, async () => {
  await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: 60 }, (_, _id) => ({ _id })));
  const cwd = await makeMigration("(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)");
  const runner = await holdAt('batch:before-read:3', RUN, { cwd, uri });
  await db.collection('migrations_audit').drop();
  const ended = await runner.release();
  expect([ended.code, errorOf(ended).code]).toEqual([1, 'GODWIT_STATE_LOST']);
  expect(errorOf(ended).message).toContain('20 documents that were migrated stay migrated');
  const again = await runJson(RUN, { cwd, uri });
  expect([again.code, errorOf(again).code]).toEqual([1, 'GODWIT_STATE_LOST']);
  expect((await currentRun(db)).state).toBe('failed');
});
