import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { type CommandResult, runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { holdAt } from '../support/held.js';
import { brokenHistory, currentRun, isStopped, killSentinelsOf, openTransactions } from '../support/observe.js';
import { finished, killLeftovers, runProcess, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";

interface Held {
  readonly error: { readonly code: string; readonly message: string; readonly details: { holder: { pid: number } } };
}

describe('the lease', () => {
  const { db, uri } = useDatabase('lease');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; mark?: string; n?: number }>('people');

  const fill = (count: number): Promise<unknown> =>
    people.insertMany(Array.from({ length: count }, (_, _id) => ({ _id })));
  const args = ['run', 'm1', '--batch-size', '20', '--progress', 'none', '--json'];
  const json = ({ stdout }: CommandResult): Record<string, unknown> => JSON.parse(stdout) as Record<string, unknown>;
  const fault = (text: string): NodeJS.ProcessEnv => ({ GODWIT_TEST: '1', GODWIT_FAULT: text });

  /** Each document changed once, whoever did it. */
  async function expectOnce(count: number): Promise<void> {
    expect(await people.countDocuments({ mark: 'x' })).toBe(count);
    expect(await audited(db)).toBe(count);
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db))]).toEqual([]);
  }

  test('lets one of two runs work; the other exits 5 and names the process that holds it', {
    tags: ['F60', 'P4'],
  }, async () => {
    await fill(400);
    const cwd = await makeMigration(UP);
    const env = fault('batch:after-read:4:stop');
    const runs = [1, 2].map(() => startCommand(args, { cwd, uri, env }));
    const ends = runs.map(finished);
    const loser = await Promise.race(ends);
    const { error } = json(loser) as unknown as Held;
    expect([loser.code, error.code]).toEqual([5, 'GODWIT_LEASE_HELD']);
    const winner = runs.find(({ exitCode }) => exitCode === null);
    expect(error.details.holder.pid).toBe(winner?.pid);
    expect(error.message).toMatch(new RegExp(`held by \\S+@\\S+ pid ${winner?.pid} `));
    await until(() => isStopped(winner?.pid));
    winner?.kill('SIGCONT');
    expect((await Promise.all(ends)).map(({ code }) => code).sort()).toEqual([0, 5]);
    await expectOnce(400);
  });

  test.each([1, 2, 3])('lets one of five runs work at a time (%s)', { tags: ['F60', 'P4'] }, async () => {
    await fill(1_200);
    const cwd = await makeMigration(UP);
    const results = await Promise.all(Array.from({ length: 5 }, () => runCommand(args, { cwd, uri })));
    const winners = results.filter(({ code }) => code === 0);
    const losers = results.filter(({ code }) => code === 5);
    expect(winners.length + losers.length).toBe(5);
    expect(winners.length).toBeGreaterThan(0);
    for (const loser of losers) {
      const { error } = json(loser) as unknown as Held;
      expect(error.code).toBe('GODWIT_LEASE_HELD');
      expect(error.message).toMatch(/held by \S+@\S+ pid \d+/);
    }
    // A run that came when all was done says so; it changed nothing.
    expect(winners.map((winner) => json(winner)['state'])).toEqual(winners.map(() => 'completed'));
    await expectOnce(1_200);
  });

  test('is not for a rollback while the run goes on', { tags: ['F60', 'P4'] }, async () => {
    await fill(200);
    const cwd = await makeMigration(UP);
    const running = await holdAt('batch:after-read:4', args, { cwd, uri });
    const back = await runJson(['rollback', 'm1'], { cwd, uri });
    expect([back.code, back.json]).toMatchObject([
      5,
      { error: { code: 'GODWIT_LEASE_HELD', details: { holder: { pid: process.pid } } } },
    ]);
    expect((await running.release()).code).toBe(0);
    await expectOnce(200);
  });

  test('of a process that died on this machine is taken over at once', { tags: ['F04', 'P3'] }, async () => {
    await fill(400);
    const cwd = await makeMigration(UP);
    const env = { ...fault('batch:after-data:3:kill'), GODWIT_LEASE_MS: '60000' };
    expect((await runProcess(args, { cwd, uri, env })).signal).toBe('SIGKILL');
    const startedAt = performance.now();
    const resumed = await runJson(['run', 'm1'], { cwd, uri });
    expect(resumed.json).toMatchObject({ state: 'completed', changed: 400, resumed: true });
    expect(performance.now() - startedAt).toBeLessThan(30_000);
    await expectOnce(400);
  });

  test('of a runner that is stopped is kept until it ends; then another one frees the documents and finishes, and the woken one commits nothing', {
    tags: ['F10', 'P4', 'P6'],
  }, async () => {
    await fill(600);
    const before = await dataHash(db);
    const cwd = await makeMigration(UP);
    const env = { ...fault('batch:after-data:4:stop'), GODWIT_LEASE_MS: '3000' };
    const stopped = startCommand(args, { cwd, uri, env });
    const end = finished(stopped);
    await until(() => isStopped(stopped.pid));
    killSentinelsOf(stopped.pid);
    expect(await openTransactions(db)).toBe(1);

    const { expiresAt } = (await currentRun(db)).lease ?? {};
    const early = await runJson(['run', 'm1', '--batch-size', '20'], { cwd, uri });
    // On a machine so slow that it took the rest of the lease to say so, the second one is not early.
    if (Date.now() < (expiresAt?.getTime() ?? 0)) {
      expect([early.code, early.json]).toMatchObject([
        5,
        { error: { code: 'GODWIT_LEASE_HELD', details: { holder: { pid: stopped.pid } } } },
      ]);
      expect(await audited(db)).toBe(60);
    }
    await sleep(Math.max(0, (expiresAt?.getTime() ?? 0) - Date.now()) + 100);

    const second = await runJson(['run', 'm1', '--batch-size', '20'], { cwd, uri });
    expect(second.json).toMatchObject({ state: 'completed', changed: 600 });
    expect(await openTransactions(db)).toBe(0);
    const fences = await db.collection('migrations_chunks').distinct('fence');
    const committed = await db.collection('migrations_audit').countDocuments();

    stopped.kill('SIGCONT');
    const woken = await end;
    expect([woken.code, json(woken)]).toMatchObject([5, { error: { code: 'GODWIT_LEASE_LOST' } }]);
    expect(await db.collection('migrations_audit').countDocuments()).toBe(committed);
    expect(await db.collection('migrations_chunks').distinct('fence')).toEqual(fences);
    await expectOnce(600);
    expect((await runJson(['rollback', 'm1'], { cwd, uri })).json).toMatchObject({ restored: 600, identical: true });
    expect(await dataHash(db)).toEqual(before);
  });
});
