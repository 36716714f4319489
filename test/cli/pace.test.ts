/** When a run may write, with how many workers, and what it says when nothing goes on. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from 'mongodb';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { brokenHistory, currentRun } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { useScratch } from '../support/scratch.js';
import { useSharedMembers } from '../support/servers.js';
import { COUNT, prepare, RUN } from '../support/trouble.js';

afterAll(killLeftovers);

/** A moment from now, as a clock in that zone shows it. */
const clockIn = (zone: string, seconds: number): string =>
  new Date(Date.now() + seconds * 1_000).toLocaleString('sv', { timeZone: zone }).replace(' ', 'T');

const windowOf = (fromSeconds: number, toSeconds: number, zone = 'Asia/Tokyo'): NodeJS.ProcessEnv => ({
  GODWIT_WINDOW_ZONE: zone,
  GODWIT_WINDOW_START: clockIn(zone, fromSeconds),
  GODWIT_WINDOW_END: clockIn(zone, toSeconds),
});

describe('a window', () => {
  const scratch = useScratch('window', () => inject('mongoUri'));

  test('that is not open yet is waited for', async () => {
    const at = await prepare(scratch.make());
    const startedAt = Date.now();
    const end = finished(startCommand(RUN, { ...at, env: windowOf(8, 600) }));
    await until(async () => (await currentRun(at.db).catch(() => null))?.state === 'throttled');
    const { throttled } = await currentRun(at.db);
    expect([throttled[0]?.reason, throttled[0]?.unit]).toEqual(['window', expect.stringMatching(/^opens 2.*Tokyo$/)]);
    expect(await audited(at.db)).toBe(0);
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([0, expect.stringMatching(/waiting: window \(opens /)]);
    expect(Date.now() - startedAt).toBeGreaterThan(7_000);
  });

  test('that closes stops the run, which goes on in the next one; a rollback is not bound by it', async () => {
    const at = await prepare(scratch.make());
    const slowly = [...RUN.slice(0, -1), '--max-rate', '10'];
    const { code, json } = await runJson(slowly, { ...at, env: windowOf(-60, 8) });
    expect([code, json]).toMatchObject([
      7,
      { state: 'stopped', because: expect.stringMatching(/^stopped: its window closed 2.* Asia\/Tokyo; the batch/) },
    ]);
    expect(Number(json['changed'])).toBeLessThan(COUNT);
    const closed = { ...at, env: windowOf(-600, -60, 'America/New_York') };
    expect(await runJson(RUN.slice(0, -1), closed)).toMatchObject({
      code: 3,
      json: { error: { code: 'GODWIT_WINDOW_CLOSED', message: expect.stringContaining('America/New_York') } },
    });
    expect(await runJson(RUN.slice(0, -1), { ...at, env: windowOf(-60, 600) })).toMatchObject({
      code: 0,
      json: { state: 'completed', changed: COUNT },
    });
    expect(await runJson(['rollback', 'm1'], closed)).toMatchObject({ code: 0, json: { identical: true } });
  });

  test.each([
    [{ GODWIT_WINDOW_ZONE: 'Europe/Lisboa' }, /time zone like 'Europe\/Lisbon'/],
    [{ GODWIT_WINDOW_START: '01:00' }, /a time like '2026-12-01T01:00'/],
    [{ GODWIT_WINDOW_END: '2020-01-01T00:00' }, /an end behind the start/],
  ])('is refused where it is none: %j', async (wrong, message) => {
    const at = await prepare(scratch.make());
    const { code, json } = await runJson(RUN.slice(0, -1), { ...at, env: { ...windowOf(-60, 600), ...wrong } });
    expect([code, json['error']]).toMatchObject([
      2,
      { code: 'GODWIT_CONFIG', message: expect.stringMatching(message) },
    ]);
  });
});

/** How many chunks went on within a second. */
async function moving(db: Db): Promise<number> {
  const seqs = async (): Promise<Map<string, unknown>> => {
    const chunks = await db.collection<{ _id: string; seq: number }>('migrations_chunks').find().toArray();
    return new Map(chunks.map(({ _id, seq }) => [_id, seq]));
  };
  const before = await seqs();
  await sleep(1_000);
  const after = await seqs();
  return [...after].filter(([id, seq]) => before.get(id) !== seq).length;
}

describe('the workers of a run under way', () => {
  const scratch = useScratch('workers', () => inject('mongoUri'));
  const MANY = 4_000;

  async function underway(workers: number) {
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: MANY }, (_, _id) => ({ _id })));
    const { cwd } = await prepare({ db: db.client.db(`${db.databaseName}_x`), uri }, '(doc) => ({ ...doc, mark: 1 })');
    const args = ['run', 'm1', '--batch-size', '10', '--max-rate', '700', '--workers', String(workers), '--json'];
    const end = finished(startCommand(args, { uri, cwd }));
    await until(async () => (await audited(db)) > 0);
    return { at: { db, uri, cwd }, end };
  }

  test('become fewer and more, and every document is done once', async () => {
    const { at, end } = await underway(4);
    expect(await moving(at.db)).toBeGreaterThan(2);
    const fewer = await runJson(['throttle', 'm1', '--workers', '1'], at);
    expect(fewer).toMatchObject({ code: 0, json: { workers: 1, maxRate: null } });
    await until(async () => (await moving(at.db)) === 1);
    expect(await runJson(['throttle', 'm1', '--workers', '6'], at)).toMatchObject({ code: 0, json: { workers: 6 } });
    expect(await moving(at.db)).toBeGreaterThan(1);
    const told = await runCommand(['throttle', 'm1'], at);
    expect(told.stdout).toContain('workers: 6');
    await runJson(['throttle', 'm1', '--reset', '--max-rate', '100000'], at);
    const { code, stdout } = await end;
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { state: 'completed', scanned: MANY, changed: MANY }]);
    expect([...(await brokenInvariants(at.db)), ...(await brokenHistory(at.db))]).toEqual([]);
  });

  test('are at most as many as have sessions', async () => {
    const { at, end } = await underway(1);
    expect(await runJson(['throttle', 'm1', '--workers', '0'], at)).toMatchObject({ code: 2 });
    expect(await runJson(['throttle', 'm1', '--workers', '99'], at)).toMatchObject({
      code: 2,
      json: { error: { code: 'GODWIT_USAGE', message: expect.stringContaining('wanted at most 8 workers') } },
    });
    await runJson(['stop', 'm1'], at);
    expect((await end).code).toBe(7);
  });
});

describe('a run that stands still', () => {
  const members = useSharedMembers('one');
  const scratch = useScratch('stall', () => members().server.uri);

  test('says so, and why, and that it goes on again', async () => {
    const at = await prepare(scratch.make());
    const end = finished(startCommand([...RUN, '--max-rate', '20'], { ...at, env: { GODWIT_STALL_MS: '1500' } }));
    await until(async () => (await audited(at.db)) > 0);
    await members().command(0, {
      configureFailPoint: 'failCommand',
      mode: { times: 1 },
      data: { failCommands: ['insert'], blockConnection: true, blockTimeMS: 8_000 },
    });
    await until(async () => Boolean((await currentRun(at.db).catch(() => null))?.stalled));
    const { json } = await runJson(['status', 'm1'], at);
    expect((json['migrations'] as unknown[])[0]).toMatchObject({
      state: 'running',
      stalled: { because: expect.stringMatching(/^writing the audit for \d/) },
    });
    expect((await runCommand(['status', 'm1'], at)).stdout).toContain('STANDS STILL');
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([0, expect.stringMatching(/no batch was committed for \d.*: writing the audit/)]);
    expect((await currentRun(at.db)).stalled).toBeNull();
  });
});
