import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type CommandResult, finished, MAIN, runCommand, runJson, startCommand } from '../support/command.js';
import { audited, brokenInvariants, sentinelsOf, until } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";

describe('the lease', () => {
  const { db, uri } = useDatabase('lease');
  const people = db.collection<{ _id: number; mark?: string; n?: number }>('people');

  const fill = (count: number): Promise<unknown> =>
    people.insertMany(Array.from({ length: count }, (_, _id) => ({ _id })));
  const args = ['run', 'm1', '--batch-size', '20', '--progress', 'none'];
  const json = ({ stdout }: CommandResult): Record<string, unknown> => JSON.parse(stdout) as Record<string, unknown>;

  test('lets one of several runs work; the others exit 5 and say who holds it', async () => {
    await fill(2_000);
    const cwd = await makeMigration(UP);
    const results = await Promise.all(Array.from({ length: 4 }, () => runCommand([...args, '--json'], { cwd, uri })));
    const winners = results.filter(({ code }) => code === 0);
    const losers = results.filter(({ code }) => code === 5);
    expect(winners.length + losers.length).toBe(4);
    expect(losers.length).toBeGreaterThan(0);
    for (const loser of losers) {
      const { error } = json(loser) as {
        error: { code: string; message: string; details: { holder: { pid: number } } };
      };
      expect(error.code).toBe('GODWIT_LEASE_HELD');
      expect(error.message).toMatch(/held by \S+@\S+ pid \d+/);
    }
    // A run that came when all was done says so; it changed nothing.
    expect(winners.map((winner) => json(winner)['state'])).toEqual(winners.map(() => 'completed'));
    expect(await people.countDocuments({ mark: 'x' })).toBe(2_000);
    expect(await audited(db)).toBe(2_000);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  test('is not for a rollback while the run goes on', async () => {
    await fill(200);
    const cwd = await makeMigration(UP);
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-read:4:sleep:4000' };
    const running = finished(startCommand(args, { cwd, uri, env }));
    await until(async () => (await audited(db)) >= 60);
    const back = await runJson(['rollback', 'm1'], { cwd, uri });
    expect([back.code, back.json]).toMatchObject([5, { error: { code: 'GODWIT_LEASE_HELD' } }]);
    expect((await running).code).toBe(0);
    expect(await people.countDocuments({ mark: 'x' })).toBe(200);
  });

  test('of a process that died on this machine is taken over at once', async () => {
    await fill(400);
    const cwd = await makeMigration(UP);
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-data:3:kill', GODWIT_LEASE_MS: '60000' };
    expect((await runCommand(args, { cwd, uri, env })).signal).toBe('SIGKILL');
    const startedAt = performance.now();
    const resumed = await runJson(['run', 'm1'], { cwd, uri });
    expect(resumed.json).toMatchObject({ state: 'completed', changed: 400, resumed: true });
    expect(performance.now() - startedAt).toBeLessThan(30_000);
  });

  test('is lost by a runner that was stopped past its end: another one finishes, and the woken one commits nothing more', async () => {
    await fill(600);
    const before = await dataHash(db);
    const cwd = await makeMigration(UP);
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-data:4:stop', GODWIT_LEASE_MS: '1500' };
    const stopped = startCommand([...args, '--json'], { cwd, uri, env });
    const end = finished(stopped);
    await until(async () => (await audited(db)) >= 60);
    await sleep(2_500);

    const second = await runJson(['run', 'm1', '--batch-size', '20'], { cwd, uri });
    expect(second.json).toMatchObject({ state: 'completed', changed: 600 });
    const fences = await db.collection('migrations_chunks').distinct('fence');
    const committed = await db.collection('migrations_audit').countDocuments();

    stopped.kill('SIGCONT');
    const woken = await end;
    expect([woken.code, json(woken)]).toMatchObject([5, { error: { code: 'GODWIT_LEASE_LOST' } }]);
    expect(await db.collection('migrations_audit').countDocuments()).toBe(committed);
    expect(await db.collection('migrations_chunks').distinct('fence')).toEqual(fences);
    expect(await brokenInvariants(db)).toEqual([]);
    expect((await runJson(['rollback', 'm1'], { cwd, uri })).json).toMatchObject({ restored: 600, identical: true });
    expect(await dataHash(db)).toEqual(before);
  });

  test('frees the documents of an orphan whose sentinel died with it, when the next run takes over', async () => {
    await fill(200);
    const cwd = await makeMigration(UP);
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-data:2:stop' };
    const orphan = startCommand(args, { cwd, uri, env });
    const end = finished(orphan);
    await until(async () => (await audited(db)) >= 20);
    await sleep(300);
    killSentinelsOf(orphan.pid ?? 0);
    orphan.kill('SIGKILL');
    await end;
    const write = people.updateMany({}, { $set: { n: 1 } });
    const resumed = await runJson(['run', 'm1'], { cwd, uri });
    await write;
    expect(resumed.json).toMatchObject({ state: 'completed' });
    expect(await people.countDocuments({ mark: 'x', n: 1 })).toBe(200);
  });
});

describe('signals', () => {
  const { client, db, uri } = useDatabase('signals');
  const people = db.collection<{ _id: number; mark?: string }>('people');
  const hold = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-data:3:sleep:700' };

  async function signalled(signals: readonly NodeJS.Signals[]): Promise<{ result: CommandResult; cwd: string }> {
    await people.insertMany(Array.from({ length: 400 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(UP);
    const args = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--json', '--progress', 'none'];
    const child = startCommand(args, { cwd, uri, env: hold });
    const end = finished(child);
    await until(async () => (await audited(db)) >= 40);
    await sleep(150);
    for (const signal of signals) {
      child.kill(signal);
      await sleep(50);
    }
    return { result: await end, cwd };
  }

  /** Transactions of runners that are still open on the server. */
  async function openTransactions(): Promise<number> {
    const pipeline = [
      { $currentOp: { idleSessions: true, localOps: true } },
      { $match: { transaction: { $exists: true }, appName: 'godwit' } },
    ];
    return (await client.db('admin').aggregate(pipeline).toArray()).length;
  }

  test.each<[string, NodeJS.Signals, number, string]>([
    ['SIGINT', 'SIGINT', 130, 'interrupted'],
    ['SIGTERM', 'SIGTERM', 7, 'stopped'],
    ['SIGHUP', 'SIGHUP', 7, 'stopped'],
  ])(
    '%s finishes the batch under way, saves the cursor, and leaves nothing open',
    async (_name, signal, code, state) => {
      const { result, cwd } = await signalled([signal]);
      expect([result.code, (JSON.parse(result.stdout) as { state: string }).state]).toEqual([code, state]);
      const run = await db.collection('migrations').findOne({ current: true });
      expect([run?.['state'], run?.['lease']]).toEqual([state, null]);
      expect(await audited(db)).toBe(60);
      await until(async () => (await openTransactions()) === 0);
      expect((await runJson(['run', 'm1'], { cwd, uri })).json).toMatchObject({ state: 'completed', changed: 400 });
    },
  );

  test('a second SIGINT leaves at once, and what was not committed is undone', async () => {
    const { result, cwd } = await signalled(['SIGINT', 'SIGINT']);
    expect(result.code).toBe(130);
    await until(async () => (await openTransactions()) === 0);
    expect(await people.countDocuments({ mark: 'x' })).toBe(await audited(db));
    expect((await runJson(['run', 'm1'], { cwd, uri })).json).toMatchObject({ state: 'completed', changed: 400 });
    expect(await brokenInvariants(db)).toEqual([]);
  });

  test('a reader that goes away early does no harm', async () => {
    const cwd = await makeMigration(UP);
    const script = `"${process.execPath}" "${MAIN}" list --json | head -c 1`;
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', script], {
      cwd,
      env: { ...process.env, MONGODB_URI: uri },
    });
    expect([stdout, stderr]).toEqual(['{', '']);
  });
});

/** Kills the sentinel that watches this process. */
function killSentinelsOf(runner: number): void {
  for (const pid of sentinelsOf(runner)) process.kill(pid, 'SIGKILL');
}
