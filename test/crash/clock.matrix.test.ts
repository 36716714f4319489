/** Clients whose clocks are wrong (F56): leases and times are the server's. */
import { beforeEach, describe, expect, test } from 'vitest';
import { wrongClock } from '../support/clock.js';
import { runCommand } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { holdAt } from '../support/held.js';
import { brokenHistory, currentRun } from '../support/observe.js';
import { runProcess, runProcessJson } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { matrix } from '../support/tiers.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const RUN = ['run', 'm1', '--batch-size', '50', '--workers', '1', '--progress', 'none'];
const HOUR = 3_600_000;

const CLOCKS = [
  ['that jumps an hour ahead in mid-run', wrongClock(HOUR, 700)],
  ['that jumps an hour back in mid-run', wrongClock(-HOUR, 700)],
  ['two hours fast', wrongClock(2 * HOUR)],
  ['two hours slow', wrongClock(-2 * HOUR)],
] as const;
const OFFSETS = [
  ['fast', 2 * HOUR],
  ['slow', -2 * HOUR],
] as const;

describe('a client whose clock is wrong', () => {
  const { db, uri } = useDatabase('clock');
  let cwd: string;

  beforeEach(async () => {
    const people = db.collection<{ _id: number }>('people');
    await people.insertMany(Array.from({ length: 500 }, (_, _id) => ({ _id })));
    cwd = await makeMigration(UP);
  });

  const unmarked = (): Promise<number> => db.collection('people').countDocuments({ mark: { $exists: false } });

  test.each(matrix(CLOCKS))('%s: runs, and keeps the times of the server', { tags: ['F56'] }, async (_, env) => {
    const { code, json } = await runProcessJson(RUN, { cwd, uri, env });
    expect([code, json['state']]).toEqual([0, 'completed']);
    expect(await unmarked()).toBe(0);
    expect(await brokenHistory(db)).toEqual([]);
    const { startedAt, updatedAt, finishedAt, history } = await currentRun(db);
    const now = Date.now();
    for (const time of [startedAt, updatedAt, finishedAt as Date, ...history.map(({ at }) => at)])
      expect(Math.abs(now - time.getTime())).toBeLessThan(5 * 60_000);
    const back = await runProcessJson(['rollback', 'm1', '--progress', 'none'], { cwd, uri, env });
    expect([back.code, back.json['identical']]).toEqual([0, true]);
  });

  test.each(matrix(OFFSETS))(
    'takes no lease early by a clock that is %s',
    { tags: ['F56', 'P4'] },
    async (_, offset) => {
      const holder = await holdAt('batch:before-read:3', RUN, { cwd, uri });
      const other = await runProcessJson(RUN, { cwd, uri, env: wrongClock(offset) });
      expect([other.code, other.json['error']]).toMatchObject([5, { code: 'GODWIT_LEASE_HELD' }]);
      expect((await holder.release()).code).toBe(0);
      expect(await unmarked()).toBe(0);
    },
  );

  test.each(matrix(OFFSETS))(
    'leaves no lease that lasts for ever by a clock that was %s',
    { tags: ['F56', 'P4'] },
    async (_, offset) => {
      const env = { ...wrongClock(offset), GODWIT_TEST: '1', GODWIT_FAULT: 'batch:before-read:3:kill' };
      expect((await runProcess(RUN, { cwd, uri, env })).signal).toBe('SIGKILL');
      const { lease } = await currentRun(db);
      const left = (lease?.expiresAt.getTime() ?? 0) - Date.now();
      expect(left).toBeGreaterThan(0);
      expect(left).toBeLessThan(60_000);
      expect((await runCommand(RUN, { cwd, uri })).code).toBe(0);
    },
  );

  test('is told by doctor', { tags: ['F56'] }, async () => {
    const { stdout } = await runProcess(['doctor'], { cwd, uri, env: wrongClock(-2 * HOUR) });
    expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(/clock.*2h 00m/);
  });
});
