/** A run under way is paused, resumed, slowed and stopped from another process. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { brokenHistory, currentRun } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

const COUNT = 4_000;
/** Slow enough to be asked something meanwhile: some 4 s. */
const UP =
  "(doc) => { const end = performance.now() + 1; while (performance.now() < end); return { ...doc, mark: 'x' }; }";
const RUN = ['run', 'm1', '--batch-size', '50', '--workers', '1', '--progress', 'none', '--json'];

describe('a run under way', () => {
  const scratch = useScratch('control', () => inject('mongoUri'));
  afterAll(killLeftovers);

  async function underway(args: readonly string[] = RUN) {
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: COUNT }, (_, _id) => ({ _id })));
    const at = { db, uri, cwd: await makeMigration(UP) };
    const child = startCommand(args, at);
    const end = finished(child);
    await until(async () => (await audited(db)) > 0);
    return { at, end };
  }

  test('is paused, tells so, and goes on when it is resumed', async () => {
    const { at, end } = await underway();
    const paused = await runJson(['pause', 'm1', '--because', 'a fair'], at);
    expect(paused).toMatchObject({ code: 0, json: { paused: true, state: 'paused' } });
    const { requestedAt, acknowledgedAt, doneAt } = paused.json as Record<string, string>;
    expect(Date.parse(String(acknowledgedAt))).toBeGreaterThanOrEqual(Date.parse(String(requestedAt)));
    expect(Date.parse(String(doneAt))).toBeGreaterThanOrEqual(Date.parse(String(acknowledgedAt)));
    const before = await audited(at.db);
    await sleep(800);
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
    expect(JSON.parse(stdout).throttledSeconds).toBeGreaterThan(0.8);
    const states = (await currentRun(at.db)).history.map(({ to }) => to);
    expect(states).toEqual(['planned', 'running', 'paused', 'running', 'catching-up', 'verifying', 'completed']);
    expect([...(await brokenInvariants(at.db)), ...(await brokenHistory(at.db))]).toEqual([]);
  });

  test('is stopped, ends with exit 7, and goes on with the next one', async () => {
    const { at, end } = await underway();
    expect(await runJson(['stop', 'm1'], at)).toMatchObject({ code: 0, json: { state: 'stopped' } });
    const { code, stdout } = await end;
    expect([code, JSON.parse(stdout)]).toMatchObject([7, { state: 'stopped' }]);
    expect(JSON.parse(stdout).because).toMatch(/^stopped on request of /);
    expect((await runJson(RUN.slice(0, -1), at)).json).toMatchObject({ state: 'completed', changed: COUNT });
  });

  test('takes a pause that its runner died in along: the next runner waits as well', async () => {
    const { at, end } = await underway();
    await runJson(['pause', 'm1'], at);
    const run = await currentRun(at.db);
    process.kill(Number(run.lease?.owner.pid), 'SIGKILL');
    await end;
    const child = startCommand(RUN, at);
    const second = finished(child);
    await until(async () => (await currentRun(at.db)).history.filter(({ to }) => to === 'paused').length === 2);
    const before = await audited(at.db);
    await sleep(500);
    expect(await audited(at.db)).toBe(before);
    await runJson(['resume', 'm1'], at);
    expect((await second).code).toBe(0);
  });

  test('is not kept by a pause that was taken back after its runner died', async () => {
    const { at, end } = await underway();
    await runJson(['pause', 'm1'], at);
    process.kill(Number((await currentRun(at.db)).lease?.owner.pid), 'SIGKILL');
    await end;
    expect(await runJson(['resume', 'm1'], at)).toMatchObject({ code: 0, json: { paused: false, atWork: false } });
    expect((await runCommand(['resume', 'm1'], at)).stdout).toContain('TAKEN BACK: nobody is at work');
    expect((await runJson(RUN.slice(0, -1), at)).json).toMatchObject({ state: 'completed', changed: COUNT });
  });

  test('is slowed to a rate, and says so', async () => {
    const { at, end } = await underway();
    // Less than the slowest machine makes.
    expect(await runJson(['throttle', 'm1', '--max-rate', '50'], at)).toMatchObject({ code: 0, json: { maxRate: 50 } });
    await until(async () => (await currentRun(at.db)).throttled.length > 0);
    const [before, from] = [await audited(at.db), performance.now()];
    await until(async () => (await audited(at.db)) >= before + 100, 60_000);
    // By batches of 50, of which one may have been under way.
    expect(performance.now() - from).toBeGreaterThan(800);
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
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: 100 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration("(doc) => ({ ...doc, mark: 'x' })");
    const args = ['run', 'm1', '--batch-size', '5', '--workers', '1'];
    // No commit is that quick.
    const env = { GODWIT_THROTTLE_MAX_COMMIT_MS: '0.001' };
    expect((await runJson(args, { cwd, uri, env })).json).toMatchObject({ state: 'completed', changed: 100 });
    expect((await currentRun(db)).throttledMs['slow commits']).toBeGreaterThan(800);
  });

  test('waits while a function of the project says so, and says that', async () => {
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: 100 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration("(doc) => ({ ...doc, mark: 'x' })");
    const config =
      "import { existsSync } from 'node:fs';\nexport default { throttle: { when: () => existsSync('hold') } };\n";
    await writeFile(join(cwd, 'godwit.config.mjs'), config);
    await writeFile(join(cwd, 'hold'), '');
    const end = finished(startCommand(RUN, { cwd, uri }));
    await until(async () => (await db.collection('migrations').countDocuments({ state: 'throttled' })) === 1);
    expect((await currentRun(db)).throttled).toMatchObject([{ reason: 'own function', measured: null }]);
    expect(await audited(db)).toBe(0);
    await rm(join(cwd, 'hold'));
    expect((await end).code).toBe(0);
  });

  test('keeps to the rate that it is started with', async () => {
    const { at, end } = await underway([...RUN, '--max-rate', '400', '--limit', '1000']);
    const startedAt = performance.now();
    expect((await end).code).toBe(7);
    expect(performance.now() - startedAt).toBeGreaterThan(1_500);
    expect(await audited(at.db)).toBe(1_000);
  });

  test('that nobody is at work on is not asked', async () => {
    const { at, end } = await underway();
    await runJson(['stop', 'm1'], at);
    await end;
    const { code, stdout, stderr } = await runCommand(['pause', 'm1'], at);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('nobody at work (stopped)');
  });
});
