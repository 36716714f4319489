/** A runner that has lost its lease changes nothing any more: not the fences, the figures, the state, the documents. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import type { RunDocument } from '../../src/domain/run.js';
import { acquireLease } from '../../src/engine/lease-keeper.js';
import { findCurrentRun } from '../../src/mongo/runs.js';
import { listTouched, settleTouched, storeTouched } from '../../src/mongo/touched.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { type CommandResult, runCommand, runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { brokenSums, currentRun, isStopped } from '../support/observe.js';
import { finished, killLeftovers, runProcess, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const RUN = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--progress', 'none', '--json'];
const BACK = ['rollback', 'm1', '--progress', 'none', '--json'];
const LEASE_MS = 1_500;

interface Runner {
  readonly child: ChildProcess;
  readonly end: Promise<CommandResult>;
}

const outcome = ({ code, stdout }: CommandResult): unknown[] => {
  const { state, error } = JSON.parse(stdout) as { state?: string; error?: { code: string } };
  return [code, error?.code ?? state];
};
const LOST = [5, 'GODWIT_LEASE_LOST'];

describe('a runner that has lost its lease', () => {
  const { db, uri } = useDatabase('fence');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; mark?: string }>('people');

  const fill = (count: number): Promise<unknown> =>
    people.insertMany(Array.from({ length: count }, (_, _id) => ({ _id })));

  /** Starts a runner that stops at the point, and waits until it has. */
  async function stoppedAt(
    fault: string,
    cwd: string,
    { args = RUN, env = {} }: { args?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Runner> {
    const child = startCommand(args, { cwd, uri, env: { GODWIT_TEST: '1', GODWIT_FAULT: `${fault}:stop`, ...env } });
    const end = finished(child);
    await until(() => isStopped(child.pid));
    return { child, end };
  }

  const shortLease = { GODWIT_LEASE_MS: String(LEASE_MS) };
  const pastItsLease = (): Promise<unknown> => sleep(LEASE_MS + 500);
  /** As when the lease had run out, although its holder renews it seldom (F57). */
  const emptyLease = (): Promise<unknown> =>
    db.collection('migrations').updateOne({ current: true }, { $set: { lease: null } });
  const longLease = { GODWIT_LEASE_MS: '60000' };

  function wake({ child, end }: Runner): Promise<CommandResult> {
    child.kill('SIGCONT');
    return end;
  }

  /** The figures and fences of the chunks, the batches, and the history of the run. */
  async function stored(): Promise<unknown> {
    const { state, history, counters, batches, lease } = await currentRun(db);
    const chunks = await db.collection('migrations_chunks').find().sort({ _id: 1 }).toArray();
    const progress = chunks.map(({ fence, seq, counters: own }) => ({ fence, seq, counters: own }));
    return { state, history, counters, batches, fence: lease?.fence, progress, audited: await audited(db) };
  }

  /** The loser changes nothing beside the holder, and says so; the holder comes to its end. */
  async function expectLost(loser: Runner, holder: Runner, end: readonly [number, string]): Promise<void> {
    const before = await stored();
    const lost = outcome(await wake(loser));
    const after = await stored();
    const won = outcome(await wake(holder));
    expect(after).toEqual(before);
    expect([lost, won]).toEqual([LOST, end]);
  }

  test.each(['lease:after-take:1', 'sessions:after-kill:1'])(
    'while it took over (%s) moves no fence and commits nothing beside the next holder',
    async (point) => {
      await fill(2_000);
      const cwd = await makeMigration(UP);
      const killed = await runCommand(RUN, {
        cwd,
        uri,
        env: { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-data:3:kill' },
      });
      expect(killed.signal).toBe('SIGKILL');
      const loser = await stoppedAt(point, cwd, { env: shortLease });
      await pastItsLease();
      const holder = await stoppedAt('batch:before-read:5', cwd);
      await expectLost(loser, holder, [0, 'completed']);
    },
  );

  test('overwrites no figures of a run that another one has completed', async () => {
    await fill(600);
    const cwd = await makeMigration(UP);
    const loser = await stoppedAt('batch:after-commit:4', cwd, { env: shortLease });
    await pastItsLease();
    expect((await runJson(RUN, { cwd, uri })).json).toMatchObject({ state: 'completed', changed: 600 });
    const before = await stored();
    expect(outcome(await wake(loser))).toEqual(LOST);
    expect(await stored()).toEqual(before);
    expect(await brokenSums(db)).toEqual([]);
  });

  test('stores nothing as touched: what the next one writes its stream would take for the application', async () => {
    await fill(600);
    const cwd = await makeMigration(UP);
    const env = { ...shortLease, GODWIT_TEST: '1', GODWIT_FAULT: 'touched:before-store:1:stop' };
    const child = startCommand(RUN, { cwd, uri, env });
    const loser = { child, end: finished(child) };
    await until(async () => {
      await people.updateOne({ _id: 599 }, { $inc: { edits: 1 } });
      return isStopped(child.pid);
    });
    await pastItsLease();
    expect((await runJson(RUN, { cwd, uri })).json).toMatchObject({ state: 'completed' });
    expect(outcome(await wake(loser))).toEqual(LOST);
    expect(await db.collection('migrations_touched').countDocuments()).toBe(0);
  });

  test('moves the run along no edge, and the holder goes on', async () => {
    await fill(200);
    const cwd = await makeMigration(UP);
    const loser = await stoppedAt('run:before-transition:2', cwd, { env: shortLease });
    await pastItsLease();
    // Its third transition, as the first one's second, is that from running to catching-up.
    const holder = await stoppedAt('run:before-transition:3', cwd);
    await expectLost(loser, holder, [0, 'completed']);
  });

  test('behind its last transition does not tell the state of the next holder as its own end', async () => {
    await fill(200);
    const cwd = await makeMigration(
      "(doc) => { if (doc._id === 150) throw new Error('bad'); return { ...doc, mark: 'x' }; }",
    );
    const loser = await stoppedAt('run:after-transition:2', cwd, { env: shortLease });
    await pastItsLease();
    const holder = await stoppedAt('batch:before-read:1', cwd, { args: [...RUN, '--max-failures', '5'] });
    await expectLost(loser, holder, [4, 'completed']);
  });

  test('does not fail the run when its batch is another one by now', async () => {
    await fill(400);
    const cwd = await makeMigration(UP);
    const loser = await stoppedAt('batch:before-read:4', cwd, { env: longLease });
    await emptyLease();
    const holder = await stoppedAt('batch:before-read:4', cwd);
    await expectLost(loser, holder, [0, 'completed']);
  });

  test('does not fail the rollback when its batch is another one by now', async () => {
    await fill(400);
    const cwd = await makeMigration(UP);
    await runCommand(RUN, { cwd, uri });
    const loser = await stoppedAt('rollback:before-read:4', cwd, { args: BACK, env: longLease });
    await emptyLease();
    const holder = await stoppedAt('rollback:before-read:4', cwd, { args: BACK });
    await expectLost(loser, holder, [0, 'rolled-back']);
  });

  test('takes no document that the application writes through the pipeline', async () => {
    await fill(200);
    const cwd = await makeMigration(UP);
    const child = startCommand([...RUN, '--follow'], { cwd, uri, env: longLease });
    const end = finished(child);
    await until(async () => (await db.collection('migrations').findOne({ state: 'catching-up' })) !== null);
    await emptyLease();
    const holder = await stoppedAt('run:before-transition:3', cwd);
    const before = await audited(db);
    await people.insertOne({ _id: 1_000 });
    // It follows four times a second; it may well have noticed by now, and gone.
    await sleep(3_000);
    const after = await audited(db);
    const won = outcome(await wake(holder));
    child.kill('SIGTERM');
    await end;
    expect([after, won]).toEqual([before, [0, 'completed']]);
  });
});

describe('a runner that planned and came late', () => {
  const { db, uri } = useDatabase('late');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; mark?: string }>('people');

  /** A run whose process stops after its plan is frozen, and another process that completes it. */
  async function lateRunner(): Promise<Runner & { readonly cwd: string }> {
    await people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(UP);
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'plan:after-freeze:1:stop' };
    const child = startCommand(RUN, { cwd, uri, env });
    const end = finished(child);
    await until(() => isStopped(child.pid));
    expect(outcome(await runCommand(RUN, { cwd, uri }))).toEqual([0, 'completed']);
    return { child, end, cwd };
  }

  test('does not begin again what another one has completed', async () => {
    const { child, end } = await lateRunner();
    const { history } = await currentRun(db);
    child.kill('SIGCONT');
    expect(outcome(await end)).toEqual([0, 'completed']);
    expect((await currentRun(db)).history).toEqual(history);
  });

  test('does not go forwards over a rollback that is under way', async () => {
    const { child, end, cwd } = await lateRunner();
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'rollback:after-commit:4:kill' };
    expect((await runProcess(BACK, { cwd, uri, env })).signal).toBe('SIGKILL');
    const marked = await people.countDocuments({ mark: 'x' });
    child.kill('SIGCONT');
    expect(outcome(await end)).toEqual([2, 'GODWIT_USAGE']);
    expect(await people.countDocuments({ mark: 'x' })).toBe(marked);
    expect(outcome(await runCommand(BACK, { cwd, uri }))).toEqual([0, 'rolled-back']);
    expect(await people.countDocuments({ mark: 'x' })).toBe(0);
  });

  test('does not retire a run whose rollback another one is about to force', async () => {
    await people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(UP);
    await runCommand(RUN, { cwd, uri });
    await runCommand(BACK, { cwd, uri });
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'run:before-transition:1:stop' };
    const child = startCommand([...BACK, '--on-conflict', 'force'], { cwd, uri, env });
    const end = finished(child);
    await until(() => isStopped(child.pid));
    expect(outcome(await runCommand(RUN, { cwd, uri }))).toEqual([5, 'GODWIT_LEASE_HELD']);
    child.kill('SIGCONT');
    expect(outcome(await end)).toEqual([0, 'rolled-back']);
    expect(outcome(await runCommand(RUN, { cwd, uri }))).toEqual([0, 'completed']);
    expect(await people.countDocuments({ mark: 'x' })).toBe(200);
  });

  test('takes no lease of a run that has a successor', async () => {
    await people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(UP);
    await runCommand(RUN, { cwd, uri });
    await runCommand(BACK, { cwd, uri });
    const session = await openSession({ cwd, uri });
    try {
      const retired = await findCurrentRun(session.state, 'm1');
      await runCommand(RUN, { cwd, uri });
      const facts = { ...session, leaseMs: 1_000, outageMs: 10_000, sessions: [session.client.startSession()] };
      const late = acquireLease(facts, retired as RunDocument, new AbortController().signal);
      await expect(late).rejects.toMatchObject({ code: 'GODWIT_STATE_EDITED' });
    } finally {
      await closeSession(session);
    }
  });
});

describe('a touched document', () => {
  const { db, uri } = useDatabase('touched');

  test('is not forgotten by a runner that knows an earlier touch of it', async () => {
    const session = await openSession({ cwd: await makeMigration(UP), uri });
    try {
      const { state } = session;
      await storeTouched(state, 'r-1', [{ step: 0, id: 1, isInsert: false }]);
      const stale = await listTouched(state, 'r-1', 0, '', 10);
      await settleTouched(state, stale);
      await storeTouched(state, 'r-1', [{ step: 0, id: 1, isInsert: false }]);
      await settleTouched(state, stale);
      expect(await db.collection('migrations_touched').countDocuments()).toBe(1);
    } finally {
      await closeSession(session);
    }
  });
});
