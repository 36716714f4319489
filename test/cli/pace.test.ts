/** When a run may write, with how many workers, and what it says when nothing goes on. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { onFaultPoint } from '../../src/engine/fault-points.js';
import { callCommand, runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { holdAt } from '../support/held.js';
import { brokenHistory, currentRun } from '../support/observe.js';
import { makeMigration } from '../support/project.js';
import { useScratch } from '../support/scratch.js';
import { COUNT, prepare, RUN } from '../support/trouble.js';

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
    // Shown by the second: it opens 4 to 5 s from now.
    const opensAt = Math.floor(Date.now() / 1_000 + 5) * 1_000;
    const { end } = callCommand(RUN, { ...at, env: windowOf(5, 600) });
    await until(async () => (await currentRun(at.db).catch(() => null))?.state === 'throttled');
    const { throttled } = await currentRun(at.db);
    expect([throttled[0]?.reason, throttled[0]?.unit]).toEqual(['window', expect.stringMatching(/^opens 2.*Tokyo$/)]);
    expect(await audited(at.db)).toBe(0);
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([0, expect.stringMatching(/waiting: window \(opens /)]);
    expect(
      (await at.db.collection('migrations_audit').find().sort({ at: 1 }).next())?.['at'].getTime(),
    ).toBeGreaterThanOrEqual(opensAt);
  });

  test('that closes stops the run, which goes on in the next one; a rollback is not bound by it', async () => {
    const at = await prepare(scratch.make());
    const slowly = [...RUN.slice(0, -1), '--max-rate', '10'];
    const { code, json } = await runJson(slowly, { ...at, env: windowOf(-60, 5) });
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

describe('the workers of a run under way', () => {
  const scratch = useScratch('workers', () => inject('mongoUri'));
  const MANY = 1_200;
  afterEach(() => onFaultPoint(undefined));

  const args = (workers: number): string[] => [
    'run',
    'm1',
    '--batch-size',
    '10',
    '--workers',
    String(workers),
    '--json',
  ];

  async function place() {
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: MANY }, (_, _id) => ({ _id })));
    return { db, uri, cwd: await makeMigration('(doc) => ({ ...doc, mark: 1 })') };
  }

  /** Holds every batch that has been read: as many as there are workers at work. */
  function turnstile() {
    const held: (() => void)[] = [];
    onFaultPoint(async (point) => {
      if (point === 'batch:after-read') await new Promise<void>((done) => held.push(done));
    });
    const pass = (): void => {
      for (const done of held.splice(0)) done();
    };
    const open = (): void => {
      onFaultPoint(undefined);
      pass();
    };
    return { held, pass, open };
  }

  test('become fewer and more, and every document is done once', async () => {
    const at = await place();
    const { held, pass, open } = turnstile();
    const { end } = callCommand(args(4), at);
    await until(() => held.length === 4);
    const fewer = await runJson(['throttle', 'm1', '--workers', '1'], at);
    expect(fewer).toMatchObject({ code: 0, json: { workers: 1, maxRate: null } });
    pass();
    await until(() => held.length === 1);
    // Who is one too many looks again several times meanwhile.
    await sleep(400);
    expect(held.length).toBe(1);
    expect(await runJson(['throttle', 'm1', '--workers', '6'], at)).toMatchObject({ code: 0, json: { workers: 6 } });
    // All chunks that there are.
    await until(() => held.length === 4);
    const told = await runCommand(['throttle', 'm1'], at);
    expect(told.stdout).toContain('workers: 6');
    await runJson(['throttle', 'm1', '--reset'], at);
    open();
    const { code, stdout } = await end;
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { state: 'completed', scanned: MANY, changed: MANY }]);
    expect([...(await brokenInvariants(at.db)), ...(await brokenHistory(at.db))]).toEqual([]);
  });

  test('are at most as many as have sessions', async () => {
    const at = await place();
    const held = await holdAt('batch:after-read:1', args(1), at);
    expect(await runJson(['throttle', 'm1', '--workers', '0'], at)).toMatchObject({ code: 2 });
    expect(await runJson(['throttle', 'm1', '--workers', '99'], at)).toMatchObject({
      code: 2,
      json: { error: { code: 'GODWIT_USAGE', message: expect.stringContaining('wanted at most 8 workers') } },
    });
    held.signal('SIGTERM');
    expect((await held.release()).code).toBe(7);
  });
});

describe('a run that stands still', () => {
  const scratch = useScratch('stall', () => inject('mongoUri'));

  test('says so, and why, and that it goes on again', async () => {
    const at = await prepare(scratch.make());
    const held = await holdAt('batch:after-audit:2', RUN, { ...at, env: { GODWIT_STALL_MS: '500' } });
    await until(async () => Boolean((await currentRun(at.db)).stalled));
    const { json } = await runJson(['status', 'm1'], at);
    expect((json['migrations'] as unknown[])[0]).toMatchObject({
      state: 'running',
      stalled: { because: expect.stringMatching(/^writing the audit for \d/) },
    });
    expect((await runCommand(['status', 'm1'], at)).stdout).toContain('STANDS STILL');
    const { code, stderr } = await held.release();
    expect([code, stderr]).toEqual([0, expect.stringMatching(/no batch was committed for \d.*: writing the audit/)]);
    expect((await currentRun(at.db)).stalled).toBeNull();
  });
});
