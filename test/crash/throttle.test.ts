/** Signals that keep a batch from beginning: a run waits for as long as it takes, without an open transaction (F40). */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { useAuthServer } from '../support/auth-server.js';
import { runCommand, runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { currentRun, openTransactions } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { useScratch } from '../support/scratch.js';
import { useMembers, useSharedMembers } from '../support/servers.js';
import { COUNT, type Place, prepare, RUN } from '../support/trouble.js';

afterAll(killLeftovers);

/** Signals that one reading of the server's status tells. */
const OF_LOAD = ['flow control', 'server queue', 'connections'];

const waits = async ({ db }: Place): Promise<boolean> =>
  (await currentRun(db).catch(() => null))?.state === 'throttled';

/** It waits and holds nothing; until then nothing, or not all, was written. */
async function expectWaiting(at: Place, reason: object): Promise<void> {
  await until(() => waits(at));
  const before = await audited(at.db);
  await sleep(1_500);
  expect([await waits(at), await audited(at.db), await openTransactions(at.db)]).toEqual([true, before, 0]);
  expect((await currentRun(at.db)).throttled).toMatchObject([reason]);
}

describe('a secondary that is behind', () => {
  const members = useSharedMembers('three');
  const scratch = useScratch('lag', () => members().server.uri);
  const env = { GODWIT_THROTTLE_MAX_LAG_MS: '1000' };
  let lagging = 0;

  beforeEach(async () => {
    [lagging = 0] = await members().secondaries();
    await members().setReplication([lagging], false);
  });
  afterEach(async () => {
    await members().setReplication([lagging], true);
    await members().whole();
  });

  /** Behind by more than a second, for a run that begins now. */
  async function place(): Promise<Place> {
    const at = await prepare(scratch.make());
    for (let count = 0; count < 4; count += 1) {
      await sleep(700);
      await at.db.collection('others').insertOne({});
    }
    return at;
  }

  test('is waited for, with its figures, and never an end', async () => {
    const at = await place();
    const child = startCommand(RUN, { ...at, env });
    const end = finished(child);
    await expectWaiting(at, {
      reason: 'replica lag',
      limit: 1,
      unit: 's',
      node: expect.stringContaining('127.0.0.1:'),
    });
    const told = await runCommand(['status', 'm1'], at);
    expect(told.stdout).toMatch(/waits for {5}replica lag \d+\.\d s \(limit 1 s\) on 127/);
    await members().setReplication([lagging], true);
    const { code, stdout, stderr } = await end;
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { state: 'completed', changed: COUNT }]);
    expect(JSON.parse(stdout).throttledSeconds).toBeGreaterThan(1);
    expect(stderr).toMatch(/waiting: replica lag/);
    expect((await currentRun(at.db)).throttled).toEqual([]);
  });

  test('is waited for by a user who may not ask the set, too: its heartbeats tell', async () => {
    const at = await place();
    const primary = await members().primary();
    const refused = { errorCode: 13, failCommands: ['replSetGetStatus'], appName: 'godwit' };
    await members().failPoint(primary, 'failCommand', 'alwaysOn', refused);
    const end = finished(startCommand(RUN, { ...at, env }));
    try {
      await expectWaiting(at, { reason: 'replica lag', limit: 1, node: expect.stringContaining('127.0.0.1:') });
    } finally {
      await members().failPoint(primary, 'failCommand', 'off');
      await members().setReplication([lagging], true);
    }
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('not looked at: replica lag')]);
  });

  test('is no reason to wait longer for Ctrl-C', async () => {
    const at = await place();
    const child = startCommand(RUN, { ...at, env });
    const end = finished(child);
    await until(() => waits(at));
    const startedAt = performance.now();
    child.kill('SIGINT');
    expect((await end).code).toBe(130);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expect((await currentRun(at.db)).state).toBe('interrupted');
  });
});

describe('an oplog that is full', () => {
  const members = useMembers({ args: ['--oplogSize', '16', '--syncdelay', '1'] });
  const scratch = useScratch('window', () => members().server.uri);

  test('and reaches back for less than half of what it did is waited for', async () => {
    const at = await prepare(scratch.make());
    // It reaches back to the start of the server: too short a time before would be nothing to wait for.
    await sleep(12_000);
    const end = finished(startCommand([...RUN, '--max-rate', '20'], at));
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

describe('a server that is busy', () => {
  const members = useMembers({ args: ['--maxConns', '100'] });
  const scratch = useScratch('busy', () => members().server.uri);

  test('with connections is waited for until there are fewer', async () => {
    const at = await prepare(scratch.make());
    const { uri } = members().server;
    const others = await Promise.all(Array.from({ length: 30 }, () => new MongoClient(uri).connect()));
    const end = finished(startCommand(RUN, { ...at, env: { GODWIT_THROTTLE_MAX_CONNECTIONS_PERCENT: '50' } }));
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
    const end = finished(startCommand(RUN, { ...at, env: { GODWIT_THROTTLE_MAX_QUEUE: '4' } }));
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

describe('a user', () => {
  const server = useAuthServer();
  const scratch = useScratch('blind', () => server.rootUri());
  let root: MongoClient;
  beforeAll(async () => {
    root = await new MongoClient(server.rootUri()).connect();
    return () => root.close();
  });

  async function place(): Promise<Place> {
    const { db, name } = scratch.make();
    const at = await prepare({ db, uri: await server.addUser(name, 'writer', 'Zq9-first', 'readWrite') });
    return at;
  }

  test('who may not look at a signal runs without it, and is told what it needs', async () => {
    const at = await place();
    const { code, stderr } = await runCommand(RUN, at);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /not looked at: flow control, server queue, connections; needs serverStatus \(role clusterMonitor\)/,
    );
    const { json } = await runJson(['status', 'm1'], at);
    expect((json['migrations'] as { signalsOff: unknown }[])[0]?.signalsOff).toEqual([
      { signal: 'oplog window', needs: 'read on the database "local" (role clusterMonitor)' },
      ...OF_LOAD.map((signal) => ({ signal, needs: 'serverStatus (role clusterMonitor)' })),
    ]);
  });

  test('who may no longer look waits, and goes on when it may again', async () => {
    const at = await place();
    const roles = [{ role: 'clusterMonitor', db: 'admin' }];
    const users = root.db(at.db.databaseName);
    await users.command({ grantRolesToUser: 'writer', roles });
    const child = startCommand([...RUN, '--max-rate', '20'], at);
    const end = finished(child);
    await until(async () => (await audited(at.db)) > 0);
    await users.command({ revokeRolesFromUser: 'writer', roles });
    // One signal after the other: each is read in its own time.
    const forbidden = async (): Promise<string[]> =>
      (await currentRun(at.db)).throttled
        .filter(({ unit }) => unit === 'no longer permitted')
        .map(({ reason }) => reason);
    await until(async () => (await forbidden()).length === 4);
    expect((await forbidden()).sort()).toEqual(['oplog window', ...OF_LOAD].sort());
    await users.command({ grantRolesToUser: 'writer', roles });
    expect((await end).code).toBe(0);
  });
});

describe('a probe', () => {
  const scratch = useScratch('probe', () => inject('mongoUri'));
  let answer: number | null = 200;
  let http: Server;
  beforeAll(() => {
    http = createServer((_request, response) => {
      if (answer !== null) response.writeHead(answer).end();
    }).listen(0, '127.0.0.1');
    return () => http.closeAllConnections();
  });

  test.each([
    ['that answers 500', 500, { reason: 'probe', measured: 500 }],
    ['that does not answer', null, { reason: 'probe', unit: 'no reading' }],
  ])('%s is waited for', async (_, status, reason) => {
    const at = await prepare(scratch.make());
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/healthy`;
    answer = status;
    const child = startCommand(RUN, { ...at, env: { GODWIT_THROTTLE_PROBE: url } });
    const end = finished(child);
    await expectWaiting(at, reason);
    answer = 200;
    expect((await end).code).toBe(0);
  });
});
