import { afterAll, describe, expect, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { sentinelsOf, until } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { isStopped } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

/** Well below the 60 to 90 s that the server needs to end an orphan by itself; far above the 2 s of the sentinel. */
const LONGEST_WAIT_MS = 15_000;

describe('the sentinel', () => {
  const { db, uri } = useDatabase('sentinel');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; n: number; mark?: string }>('people');

  const fill = (): Promise<unknown> => people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id, n: _id })));
  const project = (): Promise<string> => makeMigration("(doc) => ({ ...doc, mark: 'done' })");

  test.each([
    ['killed', 'kill'],
    ['stopped', 'stop'],
  ])(
    'frees the documents of a runner that was %s between its write and its commit',
    { tags: ['F04', 'P2', 'P12'] },
    async (_what, fault) => {
      await fill();
      const cwd = await project();
      const env = { GODWIT_TEST: '1', GODWIT_FAULT: `batch:after-data:2:${fault}` };
      const child = startCommand(['run', 'm1', '--batch-size', '50', '--progress', 'none'], { cwd, uri, env });
      const end = finished(child);
      await until(() => child.signalCode !== null || isStopped(child.pid));
      expect(await people.countDocuments({ mark: 'done' })).toBe(50);
      const startedAt = performance.now();
      await people.updateMany({}, { $inc: { n: 1_000 } });
      expect(performance.now() - startedAt).toBeLessThan(LONGEST_WAIT_MS);

      if (fault === 'stop') {
        child.kill('SIGCONT');
        expect((await end).code).toBe(0);
      } else {
        expect((await end).signal).toBe('SIGKILL');
        expect((await runCommand(['run', 'm1', '--batch-size', '50', '--json'], { cwd, uri })).code).toBe(0);
      }
      expect(await people.countDocuments({ mark: 'done', n: { $gte: 1_000 } })).toBe(200);
    },
  );

  test('is not needed by a run that goes well, and leaves with it', async () => {
    await fill();
    const before = await dataHash(db);
    const cwd = await project();
    const runner = startCommand(['run', 'm1', '--progress', 'none'], { cwd, uri });
    expect((await finished(runner)).code).toBe(0);
    expect((await runCommand(['rollback', 'm1', '--progress', 'none'], { cwd, uri })).code).toBe(0);
    expect(await dataHash(db)).toEqual(before);
    await until(() => sentinelsOf(runner.pid ?? 0).length === 0);
  });
});
