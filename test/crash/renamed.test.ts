/** A collection that is renamed under a run, and put back as the error says. Found by the campaign. */
import { afterAll, expect, test } from 'vitest';
import { finished, killLeftovers, runJson, startCommand } from '../support/command.js';
import { until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { currentRun, isStopped } from '../support/observe.js';
import { makeMigration } from '../support/project.js';
import { errorOf } from '../support/refusal.js';

const { db, uri } = useDatabase('renamed');
afterAll(killLeftovers);
const RUN = ['run', 'm1', '--batch-size', '10', '--workers', '1', '--progress', 'none', '--json'];

test('a collection that is put back goes on at once, although the change stream tells of the renaming only then', async () => {
  const people = db.collection<{ _id: number; mark?: string }>('people');
  await people.insertMany(Array.from({ length: 60 }, (_, _id) => ({ _id })));
  const cwd = await makeMigration("(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)");
  const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:before-read:2:stop' };
  const runner = startCommand(RUN, { cwd, uri, env });
  const end = finished(runner);
  await until(() => isStopped(runner.pid));
  await people.rename('people_old');
  runner.kill('SIGCONT');
  expect(errorOf(await end).code).toBe('GODWIT_TARGET_REPLACED');

  // The application writes under the other name, which the stream does not watch.
  await db.collection<{ _id: number }>('people_old').insertOne({ _id: -1 });
  await db.collection('people_old').rename('people');
  const { code, json } = await runJson(RUN, { cwd, uri });
  expect([code, json['state']]).toEqual([0, 'completed']);
  expect(await people.countDocuments({ mark: 'x' })).toBe(61);
  expect((await currentRun(db)).stream.isLost).toBe(true);
});
