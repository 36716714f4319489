/** A run under way is paused, resumed, slowed and stopped by other commands. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from 'mongodb';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { callCommand, runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { holdAt } from '../support/held.js';
import { brokenHistory, currentRun } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

const COUNT = 600;
const UP = "(doc) => ({ ...doc, mark: 'x' })";
const RUN = ['run', 'm1', '--batch-size', '10', '--workers', '1', '--progress', 'none', '--json'];
/** The same without `--json`, which `runJson` adds. */
const AGAIN = RUN.slice(0, -1);
/** Two batches are committed, and the third is under way. */
const UNDERWAY = 'batch:before-commit:3';

/** The runner has read what was asked of it. */
const isHeard = async (db: Db): Promise<boolean> => (await currentRun(db)).control.acknowledgedAt !== null;

describe('a run under way', () => {
  const scratch = useScratch('control', () => inject('mongoUri'));
  afterAll(killLeftovers);

  async function place(count = COUNT) {
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: count }, (_, _id) => ({ _id })));
    return { db, uri, cwd: await makeMigration(UP) };
  }

  test('is paused, tells so, and goes on when it is resumed', async () => {
    const at = await place();
    const held = await holdAt(UNDERWAY, RUN, at);
    const pausing = runJson(['pause', 'm1', '--because', 'a fair'], at);
    await until(() => isHeard(at.db));
    // Heard, and not done before the batch under way is.
    expect(await currentRun(at.db)).toMatchObject({ state: 'running', control: { doneAt: null } });
    const end = held.release();
    const paused = await pausing;
    expect(paused).toMatchObject({ code: 0, json: { paused: true, state: 'paused' } });
    const { requestedAt, acknowledgedAt, doneAt } = paused.json as Record<string, string>;
    expect(Date.parse(String(acknowledgedAt))).toBeGreaterThanOrEqual(Date.parse(String(requestedAt)));
    expect(Date.parse(String(doneAt))).toBeGreaterThanOrEqual(Date.parse(String(acknowledgedAt)));
    const before = await audited(at.db);
    expect(before).toBe(30);
    // Time for many batches.
    await sleep(600);
    expect(await audited(at.db)).toBe(before);
    const { json } = await runJson(['status', 'm1'], at);
    expect((json['migrations'] as unknown[])[0]).toMatchObject({
      state: 'paused',
      scanned: before,
      throttled: [{ reason: 'paused on request', unit: expect.stringMatching(/^\S+@\S+: a fair$/) }],
    });
    expect(await runJson(['resume', 'm1'], at)).toMatchObject({ code: 0, json: { paused: false } });
    const { code, stdout } = await end;
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { state: 'completed', changed: COUNT }]);
    expect(JSON.parse(stdout).throttledSeconds).toBeGreaterThan(0.5);
    const states = (await currentRun(at.db)).history.map(({ to }) => to);
    expect(states).toEqual(['planned', 'running', 'paused', 'running', 'catching-up', 'verifying', 'completed']);
    expect([...(await brokenInvariants(at.db)), ...(await brokenHistory(at.db))]).toEqual([]);
  });

  test('is stopped, ends with exit 7, and goes on with the next one', async () => {
    const at = await place();
    const held = await holdAt(UNDERWAY, RUN, at);
    const stopping = runJson(['stop', 'm1'], at);
    await until(() => isHeard(at.db));
    const end = held.release();
    expect(await stopping).toMatchObject({ code: 0, json: { state: 'stopped' } });
    const { code, stdout } = await end;
    expect([code, JSON.parse(stdout)]).toMatchObject([7, { state: 'stopped', changed: 30 }]);
    expect(JSON.parse(stdout).because).toMatch(/^stopped on request of /);
    expect((await runJson(AGAIN, at)).json).toMatchObject({ state: 'completed', changed: COUNT });
  });

  describe('whose runner dies', () => {
    /** A process that is paused, and killed. */
    async function pausedAndKilled() {
      const at = await place();
      const child = startCommand([...RUN, '--max-rate', '50'], at);
      const end = finished(child);
      await until(async () => (await audited(at.db)) > 0);
      expect(await runJson(['pause', 'm1'], at)).toMatchObject({ code: 0, json: { atWork: true, state: 'paused' } });
      expect((await currentRun(at.db)).lease?.owner.pid).toBe(child.pid);
      child.kill('SIGKILL');
      expect((await end).signal).toBe('SIGKILL');
      return at;
    }

    test('takes its pause along: the next runner waits as well', async () => {
      const at = await pausedAndKilled();
      const second = callCommand(RUN, at).end;
      await until(async () => (await currentRun(at.db)).history.filter(({ to }) => to === 'paused').length === 2);
      const before = await audited(at.db);
      await sleep(400);
      expect(await audited(at.db)).toBe(before);
      await runJson(['resume', 'm1'], at);
      expect((await second).code).toBe(0);
    });

    test('is not kept by a pause that was taken back meanwhile', async () => {
      const at = await pausedAndKilled();
      expect(await runJson(['resume', 'm1'], at)).toMatchObject({ code: 0, json: { paused: false, atWork: false } });
      expect((await runCommand(['resume', 'm1'], at)).stdout).toContain('TAKEN BACK: nobody is at work');
      expect((await runJson(AGAIN, at)).json).toMatchObject({ state: 'completed', changed: COUNT });
    });
  });

  test('is slowed to a rate, and says so', async () => {
    const at = await place();
    const held = await holdAt(UNDERWAY, RUN, at);
    expect(await runJson(['throttle', 'm1', '--max-rate', '50'], at)).toMatchObject({ code: 0, json: { maxRate: 50 } });
    const end = held.release();
    await until(async () => (await currentRun(at.db)).throttled.length > 0);
    const [from, before] = [performance.now(), await audited(at.db)];
    await until(async () => (await audited(at.db)) >= before + 50, 60_000);
    // Five batches of 10, 0.2 s after one another.
    expect(performance.now() - from).toBeGreaterThan(750);
    expect(await runJson(['throttle', 'm1'], at)).toMatchObject({ code: 0, json: { maxRate: 50, batchSize: null } });
    expect((await currentRun(at.db)).throttled).toMatchObject([{ reason: 'max rate', limit: 50 }]);
    await runJson(['throttle', 'm1', '--reset'], at);
    const { code, stdout } = await end;
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { state: 'completed' }]);
    const { throttledMs, throttled } = await currentRun(at.db);
    expect([Object.keys(throttledMs), throttled]).toEqual([['max rate'], []]);
    expect(JSON.parse(stdout).throttledSeconds).toBeCloseTo(Number(throttledMs['max rate']) / 1_000, 3);
    expect(throttledMs['max rate']).toBeGreaterThan(500);
  });

  test('waits a moment after slow commits, and goes on', async () => {
    const at = await place(100);
    const args = ['run', 'm1', '--batch-size', '5', '--workers', '1'];
    // No commit is that quick.
    const env = { GODWIT_THROTTLE_MAX_COMMIT_MS: '0.001' };
    expect((await runJson(args, { ...at, env })).json).toMatchObject({ state: 'completed', changed: 100 });
    expect((await currentRun(at.db)).throttledMs['slow commits']).toBeGreaterThan(800);
  });

  test('waits while a function of the project says so, and says that', async () => {
    const at = await place(100);
    const hold = join(at.cwd, 'hold');
    const config = `import { existsSync } from 'node:fs';
export default { throttle: { when: () => existsSync(${JSON.stringify(hold)}) } };
`;
    await writeFile(join(at.cwd, 'godwit.config.mjs'), config);
    await writeFile(hold, '');
    const { end } = callCommand(RUN, at);
    await until(async () => (await at.db.collection('migrations').countDocuments({ state: 'throttled' })) === 1);
    expect((await currentRun(at.db)).throttled).toMatchObject([{ reason: 'own function', measured: null }]);
    expect(await audited(at.db)).toBe(0);
    await rm(hold);
    expect((await end).code).toBe(0);
  });

  test('keeps to the rate that it is started with', async () => {
    const at = await place();
    const startedAt = performance.now();
    expect((await runCommand([...RUN, '--max-rate', '200', '--limit', '200'], at)).code).toBe(7);
    // 20 batches of 10, 50 ms after one another.
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(await audited(at.db)).toBe(200);
  });

  test('that nobody is at work on is not asked', async () => {
    const at = await place();
    expect((await runCommand([...RUN, '--limit', '10'], at)).code).toBe(7);
    const { code, stdout, stderr } = await runCommand(['pause', 'm1'], at);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('nobody at work (stopped)');
  });
});
