/** Clients whose clocks are wrong (F56): leases and times are the server's. */
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { wrongClock } from '../support/clock.js';
import { runCommand, runJson } from '../support/command.js';
import { until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { brokenHistory, currentRun, isStopped } from '../support/observe.js';
import { finished, killLeftovers, runProcess, runProcessJson, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const RUN = ['run', 'm1', '--batch-size', '50', '--workers', '1', '--progress', 'none'];
const HOUR = 3_600_000;

describe('a client whose clock is wrong', () => {
  const { db, uri } = useDatabase('clock');
  afterAll(killLeftovers);
  let cwd: string;

  beforeEach(async () => {
    const people = db.collection<{ _id: number }>('people');
    await people.insertMany(Array.from({ length: 500 }, (_, _id) => ({ _id })));
    cwd = await makeMigration(UP);
  });

  const unmarked = (): Promise<number> => db.collection('people').countDocuments({ mark: { $exists: false } });

  test.each([
    ['two hours fast', wrongClock(2 * HOUR)],
    ['two hours slow', wrongClock(-2 * HOUR)],
    ['that jumps an hour ahead in mid-run', wrongClock(HOUR, 700)],
    ['that jumps an hour back in mid-run', wrongClock(-HOUR, 700)],
  ])('%s: runs, and keeps the times of the server', async (_, env) => {
    const { code, json } = await runJson(RUN, { cwd, uri, env });
    expect([code, json['state']]).toEqual([0, 'completed']);
    expect(await unmarked()).toBe(0);
    expect(await brokenHistory(db)).toEqual([]);
    const { startedAt, updatedAt, finishedAt, history } = await currentRun(db);
    const now = Date.now();
    for (const time of [startedAt, updatedAt, finishedAt as Date, ...history.map(({ at }) => at)])
      expect(Math.abs(now - time.getTime())).toBeLessThan(5 * 60_000);
    const back = await runJson(['rollback', 'm1', '--progress', 'none'], { cwd, uri, env });
    expect([back.code, back.json['identical']]).toEqual([0, true]);
  });

  test.each([
    ['fast', 2 * HOUR],
    ['slow', -2 * HOUR],
  ])('takes no lease early by a clock that is %s', async (_, offset) => {
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:before-read:3:stop' };
    const holder = startCommand(RUN, { cwd, uri, env });
    const end = finished(holder);
    await until(() => isStopped(holder.pid));
    const other = await runProcessJson(RUN, { cwd, uri, env: wrongClock(offset) });
    expect([other.code, other.json['error']]).toMatchObject([5, { code: 'GODWIT_LEASE_HELD' }]);
    holder.kill('SIGCONT');
    expect((await end).code).toBe(0);
    expect(await unmarked()).toBe(0);
  });

  test.each([
    ['fast', 2 * HOUR],
    ['slow', -2 * HOUR],
  ])('leaves no lease that lasts for ever by a clock that was %s', async (_, offset) => {
    const env = { ...wrongClock(offset), GODWIT_TEST: '1', GODWIT_FAULT: 'batch:before-read:3:kill' };
    await runCommand(RUN, { cwd, uri, env });
    const { lease } = await currentRun(db);
    const left = (lease?.expiresAt.getTime() ?? 0) - Date.now();
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(60_000);
    expect((await runCommand(RUN, { cwd, uri })).code).toBe(0);
  });

  test('is told by doctor', async () => {
    const { stdout } = await runProcess(['doctor'], { cwd, uri, env: wrongClock(-2 * HOUR) });
    expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(/clock.*2h 00m/);
  });
});
