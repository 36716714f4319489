/** Signals that keep a batch from beginning: a run waits for as long as it takes, without an open transaction. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MongoClient } from 'mongodb';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { useAuthServer } from '../support/auth-server.js';
import { runCommand, runJson } from '../support/command.js';
import { until } from '../support/crash.js';
import { currentRun } from '../support/observe.js';
import { useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';
import { COUNT, heldAt, type Place, prepare, RUN } from '../support/trouble.js';
import { expectWaiting, startRun, useLaggingSecondary, waits } from './throttle.js';

/** Signals that one reading of the server's status tells. */
const OF_LOAD = ['flow control', 'server queue', 'connections'];

describe('a secondary that is behind', { tags: ['F40'] }, () => {
  const lagging = useLaggingSecondary();

  test('is waited for, with its figures, and never an end; and is no reason to wait longer for Ctrl-C', async () => {
    const at = await lagging.place();
    const first = lagging.startRun(at);
    await until(() => waits(at));
    first.signal('SIGINT');
    // While it is behind as before.
    expect((await first.end).code).toBe(130);
    expect((await currentRun(at.db)).state).toBe('interrupted');

    const { end } = lagging.startRun(at);
    await expectWaiting(at, {
      reason: 'replica lag',
      limit: 0.5,
      unit: 's',
      node: expect.stringContaining('127.0.0.1:'),
    });
    const told = await runCommand(['status', 'm1'], at);
    expect(told.stdout).toMatch(/waits for {5}replica lag \d+(\.\d)? s \(limit 0\.5 s\) on 127/);
    await lagging.catchUp();
    const { code, stdout, stderr } = await end;
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { state: 'completed', changed: COUNT }]);
    expect(JSON.parse(stdout).throttledSeconds).toBeGreaterThan(1);
    expect(stderr).toMatch(/waiting: replica lag/);
    expect((await currentRun(at.db)).throttled).toEqual([]);
  });
});

describe('a user', { tags: ['F40'] }, () => {
  const server = useAuthServer();
  const scratch = useScratch('blind', () => server.rootUri());
  let root: MongoClient;
  beforeAll(async () => {
    root = await new MongoClient(server.rootUri()).connect();
    return () => root.close();
  });

  async function place(): Promise<Place> {
    const { db, name } = scratch.make();
    return prepare({ db, uri: await server.addUser(name, 'writer', 'Zq9-first', 'readWrite') });
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
    const forbidden = async (): Promise<string[]> =>
      (await currentRun(at.db)).throttled
        .filter(({ unit }) => unit === 'no longer permitted')
        .map(({ reason }) => reason);
    let granted: Promise<unknown> = Promise.resolve();
    const told = await heldAt(at, { at: 'batch:before-read' }, async () => {
      await users.command({ revokeRolesFromUser: 'writer', roles });
      // One signal after the other: each is read in its own time.
      await until(async () => (await forbidden()).length === 4);
      expect((await forbidden()).sort()).toEqual(['oplog window', ...OF_LOAD].sort());
      granted = until(() => waits(at)).then(() => users.command({ grantRolesToUser: 'writer', roles }));
    });
    await granted;
    expect([told.code, told.json['changed']], told.stderr).toEqual([0, COUNT]);
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

  const CASES = [
    ['that answers 500', 500, { reason: 'probe', measured: 500 }],
    ['that does not answer', null, { reason: 'probe', unit: 'no reading' }],
  ] as const;
  test.each(matrix(CASES))('%s is waited for', { tags: ['F40'] }, async (_, status, reason) => {
    const at = await prepare(scratch.make());
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/healthy`;
    answer = status;
    const { end } = startRun(at, { GODWIT_THROTTLE_PROBE: url });
    await expectWaiting(at, reason);
    answer = 200;
    expect((await end).code).toBe(0);
  });
});
