/** A machine that sleeps (F14): runner and sentinel are stopped, so that nobody ends what they hold. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { type CommandResult, runJson } from '../support/command.js';
import { audited, brokenInvariants, sentinelsOf, until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { brokenHistory, brokenSums, currentRun, isStopped, openTransactions } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const RUN = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--progress', 'none', '--json'];
const COUNT = 200;
const LEASE_MS = 1_000;

describe('a runner that slept past its lease with its sentinel, holding documents', () => {
  const { db, uri } = useDatabase('asleep');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; mark?: string; n?: number }>('people');

  /** Asleep, with a lease that has ended and a write of the application that waits. */
  async function asleep() {
    await people.insertMany(Array.from({ length: COUNT }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(UP);
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-data:3:stop', GODWIT_LEASE_MS: String(LEASE_MS) };
    const child = startCommand(RUN, { cwd, uri, env });
    const end = finished(child);
    // The sentinel first: awake, it would end the transaction.
    await until(() => sentinelsOf(child.pid ?? 0).length === 1);
    const [sentinel = 0] = sentinelsOf(child.pid ?? 0);
    process.kill(sentinel, 'SIGSTOP');
    await until(() => isStopped(child.pid) && isStopped(sentinel));
    const { expiresAt } = (await currentRun(db)).lease ?? {};
    await sleep(Math.max(0, (expiresAt?.getTime() ?? 0) - Date.now()) + 100);
    expect(await openTransactions(db)).toBe(1);
    const write = people.updateOne({ _id: 50 }, { $set: { n: 1 } });
    const wake = (): Promise<CommandResult> => {
      child.kill('SIGCONT');
      process.kill(sentinel, 'SIGCONT');
      return end;
    };
    return { cwd, write, wake };
  }

  async function expectWhole(): Promise<void> {
    expect(await people.countDocuments({ mark: 'x' })).toBe(COUNT);
    expect(await people.countDocuments({ _id: 50, n: 1 })).toBe(1);
    expect(await audited(db)).toBe(COUNT);
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
  }

  test('goes on when nobody has taken over: its lease has ended, its fence is still the one', {
    tags: ['F14', 'P2', 'P4'],
  }, async () => {
    const { write, wake } = await asleep();
    const { code, stdout } = await wake();
    await write;
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { state: 'completed' }]);
    await expectWhole();
  });

  test('stops when another one has taken over, which freed the documents first', {
    tags: ['F14', 'P2', 'P4', 'P12'],
  }, async () => {
    const { cwd, write, wake } = await asleep();
    expect((await runJson(['run', 'm1', '--batch-size', '20'], { cwd, uri })).json).toMatchObject({
      state: 'completed',
    });
    await write;
    const { code, stdout } = await wake();
    expect([code, JSON.parse(stdout)]).toMatchObject([5, { error: { code: 'GODWIT_LEASE_LOST' } }]);
    await expectWhole();
  });
});
