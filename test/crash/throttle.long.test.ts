/** Signals of a busy server and of an oplog, and a lag that heartbeats tell (F40). */
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { audited, until } from '../support/crash.js';
import { currentRun } from '../support/observe.js';
import { useScratch } from '../support/scratch.js';
import { useMembers } from '../support/servers.js';
import { prepare, RUN } from '../support/trouble.js';
import { expectWaiting, startRun, useLaggingSecondary, waits } from './throttle.js';

describe('a secondary that is behind', { tags: ['F40'] }, () => {
  const lagging = useLaggingSecondary();

  test('is waited for by a user who may not ask the set, too: its heartbeats tell', async () => {
    const at = await lagging.place();
    const { members } = lagging;
    const primary = await members().primary();
    const refused = { errorCode: 13, failCommands: ['replSetGetStatus'], appName: 'godwit' };
    await members().failPoint(primary, 'failCommand', 'alwaysOn', refused);
    const { end } = lagging.startRun(at);
    try {
      await expectWaiting(at, { reason: 'replica lag', limit: 0.5, node: expect.stringContaining('127.0.0.1:') });
    } finally {
      await members().failPoint(primary, 'failCommand', 'off');
      await lagging.catchUp();
    }
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('not looked at: replica lag')]);
  });
});

describe('an oplog that is full', { tags: ['F40'] }, () => {
  const members = useMembers({ args: ['--oplogSize', '16', '--syncdelay', '1'] });
  const scratch = useScratch('window', () => members().server.uri);

  test('and reaches back for less than half of what it did is waited for', async () => {
    const at = await prepare(scratch.make());
    // It reaches back to the start of the server: too short a time before would be nothing to wait for.
    await sleep(12_000);
    const { end } = startRun(at, {}, [...RUN, '--max-rate', '20']);
    await until(async () => (await audited(at.db)) > 0);
    const filler = Buffer.alloc(1024 * 1024, 'x');
    await until(async () => {
      await at.db.collection('others').insertMany(Array.from({ length: 8 }, () => ({ filler })));
      return waits(at);
    });
    expect((await currentRun(at.db)).throttled).toContainEqual(
      expect.objectContaining({ reason: 'oplog window', unit: 'h' }),
    );
    // It reaches further back with every second that nobody writes.
    expect((await end).code).toBe(0);
    expect((await currentRun(at.db)).throttledMs['oplog window']).toBeGreaterThan(1_000);
  });
});

describe('a server that is busy', { tags: ['F40'] }, () => {
  const members = useMembers({ args: ['--maxConns', '100'] });
  const scratch = useScratch('busy', () => members().server.uri);

  test('with connections is waited for until there are fewer', async () => {
    const at = await prepare(scratch.make());
    const { uri } = members().server;
    const others = await Promise.all(Array.from({ length: 30 }, () => new MongoClient(uri).connect()));
    const { end } = startRun(at, { GODWIT_THROTTLE_MAX_CONNECTIONS_PERCENT: '50' });
    await expectWaiting(at, { reason: 'connections', measured: expect.any(Number), limit: 50, unit: '%' });
    await Promise.all(others.map((client) => client.close()));
    expect((await end).code).toBe(0);
    expect((await currentRun(at.db)).throttledMs['connections']).toBeGreaterThan(1_000);
  });

  test('with operations that wait for their turn is waited for until they are through', async () => {
    const at = await prepare(scratch.make());
    await at.db.collection('others').insertMany(Array.from({ length: 200 }, (_, n) => ({ n })));
    let isBusy = true;
    // Five read at a time (fewer the server does not take), each 20 ms a document.
    const admit = (reads: number) =>
      members().command(0, { setParameter: 1, wiredTigerConcurrentReadTransactions: reads });
    const read = async (): Promise<void> => {
      while (isBusy) await at.db.collection('others').findOne({ $where: 'sleep(20); return false;' });
    };
    await admit(5);
    const readers = Array.from({ length: 20 }, read);
    const { end } = startRun(at, { GODWIT_THROTTLE_MAX_QUEUE: '4' });
    try {
      await expectWaiting(at, { reason: 'server queue', measured: expect.any(Number), limit: 4, unit: 'operations' });
    } finally {
      isBusy = false;
      await admit(128);
      await Promise.all(readers);
    }
    expect((await end).code).toBe(0);
  });
});
