/** The state edited, dropped, or restored from a backup (F52, F53, F57, F59): never believed where it cannot be. */
import { Binary, type Db, type Document } from 'mongodb';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { type CommandResult, runCommand } from '../support/command.js';
import { until } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { ALL, dump, restore, STATE } from '../support/dump.js';
import { type Held, holdAt } from '../support/held.js';
import { isStopped } from '../support/observe.js';
import { finished, killLeftovers, runProcess, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const RUN = ['run', 'm1', '--batch-size', '50', '--workers', '1', '--progress', 'none', '--json'];
const BACK = ['rollback', 'm1', '--progress', 'none', '--json'];
const AMEND = ['amend', 'm1', '--because', 'restored on purpose', '--json'];
const COUNT = 1_000;

const outcome = ({ code, stdout }: CommandResult): unknown[] => {
  const { state, error } = JSON.parse(stdout) as { state?: string; error?: { code: string } };
  return [code, error?.code ?? state];
};

const TARGET = /^people$/;

describe('the state', () => {
  const { db, uri } = useDatabase('state');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; mark?: string }>('people');
  let cwd: string;

  beforeEach(async () => {
    await people.insertMany(Array.from({ length: COUNT }, (_, _id) => ({ _id })));
    cwd = await makeMigration(UP);
  });

  const command = async (args: readonly string[]): Promise<unknown[]> => outcome(await runCommand(args, { cwd, uri }));
  const unmarked = (): Promise<number> => people.countDocuments({ mark: { $exists: false } });
  const half = (): Promise<unknown[]> => command([...RUN, '--limit', '500']);

  /** A run in its middle: 200 documents are committed. */
  const inTheMiddle = (): Promise<Held> => holdAt('batch:before-read:5', RUN, { cwd, uri });

  describe('restored from a backup', { tags: ['F59', 'P4', 'P6', 'P7'] }, () => {
    test('with everything, half-way: said once, then planned anew', async () => {
      await half();
      const backup = await dump(db, ALL);
      expect(await command(RUN)).toEqual([0, 'completed']);
      await restore(db, backup);
      expect(await command(RUN)).toEqual([1, 'GODWIT_RESTORED']);
      expect(await unmarked()).toBe(500);
      expect(await command(RUN)).toEqual([0, 'completed']);
      expect(await unmarked()).toBe(0);
      expect(await command(['verify', 'm1', '--json', '--progress', 'none'])).toEqual([0, undefined]);
    });

    test('with everything: the rollback compares bytes and brings all of it back', async () => {
      const before = await dataHash(db);
      await half();
      const backup = await dump(db, ALL);
      await command(RUN);
      await restore(db, backup);
      expect(await command(BACK)).toEqual([1, 'GODWIT_RESTORED']);
      expect(await command(BACK)).toEqual([0, 'rolled-back']);
      expect(await dataHash(db)).toEqual(before);
    });

    test('alone, older than the target', async () => {
      await half();
      const backup = await dump(db, STATE);
      await command(RUN);
      await restore(db, backup);
      expect(await command(RUN)).toEqual([1, 'GODWIT_RESTORED']);
      expect(await command(RUN)).toEqual([0, 'completed']);
      expect(await unmarked()).toBe(0);
    });

    test.each([
      ['half-way', 500, half],
      ['completed', 0, (): Promise<unknown[]> => command(RUN)],
    ])('not with its target: what was %s is not believed until somebody says so', async (_, left, begin) => {
      const backup = await dump(db, TARGET);
      await begin();
      expect(await unmarked()).toBe(left);
      await restore(db, backup);
      expect(await command(RUN)).toEqual([1, 'GODWIT_TARGET_REPLACED']);
      expect(await unmarked()).toBe(COUNT);
      expect(await command(AMEND)).toEqual([0, 'restored']);
      expect(await command(RUN)).toEqual([0, 'completed']);
      expect(await unmarked()).toBe(0);
    });

    test('not with its target, half-way back: the rollback begins anew, and all of it comes back', async () => {
      const before = await dataHash(db);
      await command(RUN);
      const backup = await dump(db, TARGET);
      const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'rollback:after-commit:6:kill' };
      expect((await runProcess(BACK, { cwd, uri, env })).signal).toBe('SIGKILL');
      expect(await unmarked()).toBeGreaterThan(0);
      await restore(db, backup);
      expect(await command(BACK)).toEqual([1, 'GODWIT_TARGET_REPLACED']);
      expect(await command(AMEND)).toEqual([0, 'restored']);
      expect(await command(BACK)).toEqual([0, 'rolled-back']);
      expect(await dataHash(db)).toEqual(before);
    });

    test('with a lease in it that was alive', async () => {
      const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:before-read:5:stop' };
      const runner = startCommand(RUN, { cwd, uri, env });
      const end = finished(runner);
      await until(() => isStopped(runner.pid));
      const backup = await dump(db, ALL);
      runner.kill('SIGKILL');
      await end;
      await restore(db, backup);
      expect(await command(RUN)).toEqual([1, 'GODWIT_RESTORED']);
      expect(await command(RUN)).toEqual([0, 'completed']);
      expect(await unmarked()).toBe(0);
    });

    test('while a runner lives: it stops', async () => {
      const runner = await inTheMiddle();
      const backup = await dump(db, ALL);
      await restore(db, backup);
      const [code] = outcome(await runner.release());
      expect([1, 5]).toContain(code);
      expect(await unmarked()).toBe(COUNT - 200);
    });
  });

  describe('dropped while a run goes on', { tags: ['F52', 'P10'] }, () => {
    test.each([
      ['migrations', 5, 'GODWIT_LEASE_LOST'],
      ['migrations_chunks', 1, 'GODWIT_STATE_LOST'],
      ['migrations_audit', 1, 'GODWIT_STATE_LOST'],
    ])('%s: the run stops (exit %i)', async (name, code, error) => {
      const runner = await inTheMiddle();
      await db.collection(name).drop();
      expect(outcome(await runner.release())).toEqual([code, error]);
      if (name !== 'migrations') expect(await unmarked()).toBe(COUNT - 200);
    });

    test('migrations itself: the next run says that an audit has lost its run', async () => {
      await half();
      await db.collection('migrations').drop();
      const { code, stderr } = await runCommand(['run', 'm1', '--progress', 'plain'], { cwd, uri });
      expect(code).toBe(0);
      expect(stderr).toContain('no rollback of this run brings it back');
      expect(await unmarked()).toBe(0);
    });

    test.each(['migrations_touched', 'migrations_failures'])(
      '%s: the run goes on, and misses nothing',
      async (name) => {
        const runner = await inTheMiddle();
        await db.collection(name).drop();
        await people.updateOne({ _id: 3 }, { $unset: { mark: 1 } });
        expect(outcome(await runner.release())).toEqual([0, 'completed']);
        expect(await unmarked()).toBe(0);
      },
    );

    test('the audit between two runs: nothing is added to what has lost its beginning', async () => {
      await half();
      await db.collection('migrations_audit').drop();
      expect(await command(RUN)).toEqual([1, 'GODWIT_STATE_LOST']);
      expect(await unmarked()).toBe(500);
      expect(await command(AMEND)).toEqual([0, 'restored']);
      expect(await command(RUN)).toEqual([0, 'completed']);
      expect(await unmarked()).toBe(0);
    });
  });

  describe('edited', { tags: ['F53', 'P7'] }, () => {
    const chunks = db.collection('migrations_chunks');
    const runs = db.collection('migrations');

    test.each<[string, Document]>([
      ['forward', { cursor: { id: 900 } }],
      ['back', { cursor: { id: 3 } }],
      ['to another type', { cursor: { id: 'text' } }],
      ['to NaN', { cursor: { id: Number.NaN } }],
      ['to its end', { state: 'done' }],
    ])('a cursor moved %s by hand never ends in a run that has missed documents', async (_, set) => {
      await half();
      await chunks.updateOne({ kind: 'range', state: 'open' }, { $set: set });
      expect(await command(RUN)).toEqual([0, 'completed']);
      expect(await unmarked()).toBe(0);
      expect(await command(BACK)).toEqual([0, 'rolled-back']);
      expect(await unmarked()).toBe(COUNT);
    });

    test('a state of completed that no transition led to is not believed', async () => {
      await half();
      await runs.updateOne({ current: true }, { $set: { state: 'completed' } });
      expect(await command(RUN)).toEqual([1, 'GODWIT_STATE_EDITED']);
      expect(await command(AMEND)).toEqual([0, 'restored']);
      expect(await command(RUN)).toEqual([0, 'completed']);
      expect(await unmarked()).toBe(0);
    });

    test.each<[string, Document]>([
      ['another', { fence: 'zzz' }],
      ['a number', { fence: 7 }],
    ])('a fence that is %s: the run stops, and there is a way on', async (_, set) => {
      await half();
      await chunks.updateMany({ kind: 'range' }, { $set: set });
      expect(await command(RUN)).toEqual([1, 'GODWIT_STATE_EDITED']);
      expect(await command(AMEND)).toEqual([0, 'restored']);
      expect(await command(RUN)).toEqual([0, 'completed']);
      expect(await unmarked()).toBe(0);
    });

    test.each<[string, (db: Db) => Promise<unknown>]>([
      ['emptied', (at) => at.collection('migrations').updateOne({}, { $set: { lease: null } })],
      ['another', (at) => at.collection('migrations').updateOne({}, { $set: { 'lease.fence': '1000000009-other' } })],
      ['gone with its run', (at) => at.collection('migrations').deleteMany({})],
    ])(
      'a lease that is %s in mid-run: the runner stops before it says completed',
      { tags: ['F57', 'P4'] },
      async (_, act) => {
        const runner = await inTheMiddle();
        await act(db);
        expect(outcome(await runner.release())).toEqual([5, 'GODWIT_LEASE_LOST']);
      },
    );

    test('an audit batch whose bytes were changed is not built upon', { tags: ['F54', 'P5'] }, async () => {
      await half();
      const last = await db.collection('migrations_audit').findOne({}, { sort: { seq: -1 } });
      await db.collection('migrations_audit').updateOne({ seq: last?.['seq'] }, { $set: { chain: 'other' } });
      expect(await command(RUN)).toEqual([1, 'GODWIT_STATE_LOST']);
      expect(last?.['before']).toBeInstanceOf(Binary);
    });
  });
});
