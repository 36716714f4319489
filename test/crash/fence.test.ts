/** A runner that has lost its lease changes nothing any more: not the fences, the figures, the state, the documents. */
import { describe, expect, test } from 'vitest';
import type { RunDocument } from '../../src/domain/run.js';
import { acquireLease } from '../../src/engine/lease-keeper.js';
import { findCurrentRun } from '../../src/mongo/runs.js';
import { listTouched, settleTouched, storeTouched } from '../../src/mongo/touched.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { type CommandResult, callCommand, runCommand, runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { beginHeld, type Held, holdAt } from '../support/held.js';
import { brokenSums, currentRun } from '../support/observe.js';
import { runProcess } from '../support/process.js';
import { makeMigration } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const RUN = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--progress', 'none', '--json'];
const BACK = ['rollback', 'm1', '--progress', 'none', '--json'];
/** Renewed so seldom that its holder hears of nothing before it is let go. */
const SELDOM = { GODWIT_LEASE_MS: '600000' };

const outcome = ({ code, stdout }: CommandResult): unknown[] => {
  const { state, error } = JSON.parse(stdout) as { state?: string; error?: { code: string } };
  return [code, error?.code ?? state];
};
const LOST = [5, 'GODWIT_LEASE_LOST'];

describe('a runner that has lost its lease', { tags: ['F10', 'F57', 'P4'] }, () => {
  const { db, uri } = useDatabase('fence');
  const people = db.collection<{ _id: number; mark?: string }>('people');

  const fill = (count: number): Promise<unknown> =>
    people.insertMany(Array.from({ length: count }, (_, _id) => ({ _id })));

  /** As when its holder had slept past the end of it: stopped.matrix.test.ts has those that do. */
  const expire = (): Promise<unknown> =>
    db.collection('migrations').updateOne({ current: true }, { $set: { 'lease.expiresAt': new Date(0) } });
  const empty = (): Promise<unknown> =>
    db.collection('migrations').updateOne({ current: true }, { $set: { lease: null } });

  /** The figures and fences of the chunks, the batches, and the history of the run. */
  async function stored(): Promise<unknown> {
    const { state, history, counters, batches, lease } = await currentRun(db);
    const chunks = await db.collection('migrations_chunks').find().sort({ _id: 1 }).toArray();
    const progress = chunks.map(({ fence, seq, counters: own }) => ({ fence, seq, counters: own }));
    return { state, history, counters, batches, fence: lease?.fence, progress, audited: await audited(db) };
  }

  /** The loser changes nothing beside the holder, and says so; the holder comes to its end. */
  async function expectLost(loser: Held, holder: Held, end: readonly [number, string]): Promise<void> {
    const before = await stored();
    const lost = outcome(await loser.release());
    const after = await stored();
    const won = outcome(await holder.release());
    expect(after).toEqual(before);
    expect([lost, won]).toEqual([LOST, end]);
  }

  test.each(['lease:after-take:1', 'sessions:after-kill:1'])(
    'while it took over (%s) moves no fence and commits nothing beside the next holder',
    async (point) => {
      await fill(2_000);
      const cwd = await makeMigration(UP);
      const killed = await runProcess(RUN, {
        cwd,
        uri,
        env: { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-data:3:kill' },
      });
      expect(killed.signal).toBe('SIGKILL');
      const loser = await holdAt(point, RUN, { cwd, uri, env: SELDOM });
      await expire();
      const holder = await holdAt('batch:before-read:5', RUN, { cwd, uri });
      await expectLost(loser, holder, [0, 'completed']);
    },
  );

  test('overwrites no figures of a run that another one has completed', async () => {
    await fill(600);
    const cwd = await makeMigration(UP);
    const loser = await holdAt('batch:after-commit:4', RUN, { cwd, uri, env: SELDOM });
    await expire();
    expect((await runJson(RUN, { cwd, uri })).json).toMatchObject({ state: 'completed', changed: 600 });
    const before = await stored();
    expect(outcome(await loser.release())).toEqual(LOST);
    expect(await stored()).toEqual(before);
    expect(await brokenSums(db)).toEqual([]);
  });

  test('stores nothing as touched: what the next one writes its stream would take for the application', async () => {
    await fill(600);
    const cwd = await makeMigration(UP);
    const loser = beginHeld('touched:before-store:1', RUN, { cwd, uri, env: SELDOM });
    await until(async () => {
      await people.updateOne({ _id: 599 }, { $inc: { edits: 1 } });
      return loser.isHeld();
    });
    await expire();
    expect((await runJson(RUN, { cwd, uri })).json).toMatchObject({ state: 'completed' });
    expect(outcome(await loser.release())).toEqual(LOST);
    expect(await db.collection('migrations_touched').countDocuments()).toBe(0);
  });

  test('moves the run along no edge, and the holder goes on', async () => {
    await fill(200);
    const cwd = await makeMigration(UP);
    const loser = await holdAt('run:before-transition:2', RUN, { cwd, uri, env: SELDOM });
    await expire();
    // Its third transition, as the first one's second, is that from running to catching-up.
    const holder = await holdAt('run:before-transition:3', RUN, { cwd, uri });
    await expectLost(loser, holder, [0, 'completed']);
  });

  test('behind its last transition does not tell the state of the next holder as its own end', async () => {
    await fill(200);
    const cwd = await makeMigration(
      "(doc) => { if (doc._id === 150) throw new Error('bad'); return { ...doc, mark: 'x' }; }",
    );
    const loser = await holdAt('run:after-transition:2', RUN, { cwd, uri, env: SELDOM });
    await expire();
    const holder = await holdAt('batch:before-read:1', [...RUN, '--max-failures', '5'], { cwd, uri });
    await expectLost(loser, holder, [4, 'completed']);
  });

  test('does not fail the run when its batch is another one by now', async () => {
    await fill(400);
    const cwd = await makeMigration(UP);
    const loser = await holdAt('batch:before-read:4', RUN, { cwd, uri, env: SELDOM });
    await empty();
    const holder = await holdAt('batch:before-read:4', RUN, { cwd, uri });
    await expectLost(loser, holder, [0, 'completed']);
  });

  test('does not fail the rollback when its batch is another one by now', async () => {
    await fill(400);
    const cwd = await makeMigration(UP);
    await runCommand(RUN, { cwd, uri });
    const loser = await holdAt('rollback:before-read:4', BACK, { cwd, uri, env: SELDOM });
    await empty();
    const holder = await holdAt('rollback:before-read:4', BACK, { cwd, uri });
    await expectLost(loser, holder, [0, 'rolled-back']);
  });

  test('takes no document that the application writes through the pipeline', async () => {
    await fill(200);
    const cwd = await makeMigration(UP);
    const loser = callCommand([...RUN, '--follow'], { cwd, uri, env: SELDOM });
    await until(async () => (await db.collection('migrations').findOne({ state: 'catching-up' })) !== null);
    await empty();
    const holder = await holdAt('run:before-transition:3', RUN, { cwd, uri });
    const before = await audited(db);
    await people.insertOne({ _id: 1_000 });
    // It follows four times a second, and ends of what it finds.
    const lost = outcome(await loser.end);
    expect([lost, await audited(db)]).toEqual([LOST, before]);
    expect(outcome(await holder.release())).toEqual([0, 'completed']);
  });
});

describe('a runner that planned and came late', { tags: ['F60', 'P4'] }, () => {
  const { db, uri } = useDatabase('late');
  const people = db.collection<{ _id: number; mark?: string }>('people');

  /** A run that is held after its plan is frozen, and another one that completes it. */
  async function lateRunner(): Promise<{ readonly late: Held; readonly cwd: string }> {
    await people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(UP);
    const late = await holdAt('plan:after-freeze:1', RUN, { cwd, uri });
    expect(outcome(await runCommand(RUN, { cwd, uri }))).toEqual([0, 'completed']);
    return { late, cwd };
  }

  test('does not begin again what another one has completed', async () => {
    const { late } = await lateRunner();
    const { history } = await currentRun(db);
    expect(outcome(await late.release())).toEqual([0, 'completed']);
    expect((await currentRun(db)).history).toEqual(history);
  });

  test('does not go forwards over a rollback that is under way', async () => {
    const { late, cwd } = await lateRunner();
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'rollback:after-commit:4:kill' };
    expect((await runProcess(BACK, { cwd, uri, env })).signal).toBe('SIGKILL');
    const marked = await people.countDocuments({ mark: 'x' });
    expect(outcome(await late.release())).toEqual([2, 'GODWIT_USAGE']);
    expect(await people.countDocuments({ mark: 'x' })).toBe(marked);
    expect(outcome(await runCommand(BACK, { cwd, uri }))).toEqual([0, 'rolled-back']);
    expect(await people.countDocuments({ mark: 'x' })).toBe(0);
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

  test('is not forgotten by a runner that knows an earlier touch of it', { tags: ['P7'] }, async () => {
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
