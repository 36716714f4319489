import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { type CommandResult, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { holdAt } from '../support/held.js';
import { brokenHistory, brokenSums, currentRun, openTransactions } from '../support/observe.js';
import { finished, killLeftovers, MAIN, startCommand } from '../support/process.js';
import { makeMigration, makeProject } from '../support/project.js';
import { matrix } from '../support/tiers.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const RUN = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--json', '--progress', 'none'];
const BACK = ['rollback', 'm1', '--workers', '1', '--json', '--progress', 'none'];

const SIGNALS: readonly (readonly [NodeJS.Signals, number, string])[] = [
  ['SIGTERM', 7, 'stopped'],
  ['SIGINT', 130, 'interrupted'],
  ['SIGHUP', 7, 'stopped'],
];

describe('signals', () => {
  const { db, uri } = useDatabase('signals');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; mark?: string }>('people');

  const fill = (): Promise<unknown> => people.insertMany(Array.from({ length: 400 }, (_, _id) => ({ _id })));

  // The batch that a rollback undoes first is the empty one that closed the chunk.
  const pointOf = (args: readonly string[]): string =>
    args[0] === 'run' ? 'batch:after-data:3' : 'rollback:after-data:4';

  /** Held in its batch after 40 documents, between write and commit, and given the signal. */
  async function called(args: readonly string[], cwd: string, signal: NodeJS.Signals): Promise<CommandResult> {
    const held = await holdAt(pointOf(args), args, { cwd, uri });
    expect(await openTransactions(db)).toBe(1);
    held.signal(signal);
    return held.release();
  }

  /** The same of a process, which goes on after a while whatever it is given. */
  async function started(
    args: readonly string[],
    cwd: string,
    { signals, holdMs }: { readonly signals: readonly NodeJS.Signals[]; readonly holdMs: number },
  ): Promise<CommandResult & { readonly tookMs: number }> {
    const direction = args[0] === 'run' ? 'up' : 'down';
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${pointOf(args)}:sleep:${holdMs}` };
    const child = startCommand(args, { cwd, uri, env });
    const end = finished(child);
    await until(async () => (await audited(db, direction)) >= 40 && (await openTransactions(db)) === 1);
    await sleep(200);
    const startedAt = performance.now();
    for (const [at, signal] of signals.entries()) {
      if (at > 0) await sleep(50);
      child.kill(signal);
    }
    return { ...(await end), tookMs: performance.now() - startedAt };
  }

  const stateIn = ({ stdout }: CommandResult): unknown => (JSON.parse(stdout) as { state: string }).state;

  type Sent = (args: readonly string[], cwd: string, signal: NodeJS.Signals) => Promise<CommandResult>;
  const toProcess: Sent = (args, cwd, signal) => started(args, cwd, { signals: [signal], holdMs: 900 });

  async function expectStopped([signal, code, state]: (typeof SIGNALS)[number], send: Sent): Promise<void> {
    await fill();
    const cwd = await makeMigration(UP);
    const result = await send(RUN, cwd, signal);
    expect([result.code, stateIn(result)]).toEqual([code, state]);
    expect(await openTransactions(db)).toBe(0);
    const run = await currentRun(db);
    expect([run.state, run.lease]).toEqual([state, null]);
    expect([await audited(db), await people.countDocuments({ mark: 'x' })]).toEqual([60, 60]);
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
    expect((await runJson(RUN.slice(0, 2), { cwd, uri })).json).toMatchObject({ state: 'completed', changed: 400 });
  }

  async function expectStoppedOnTheWayBack([signal, code, state]: (typeof SIGNALS)[number], send: Sent): Promise<void> {
    await fill();
    const before = await dataHash(db);
    const cwd = await makeMigration(UP);
    await runJson(RUN.slice(0, 4), { cwd, uri });
    const result = await send(BACK, cwd, signal);
    expect([result.code, stateIn(result)]).toEqual([code, state]);
    expect(await openTransactions(db)).toBe(0);
    const run = await currentRun(db);
    expect([run.state, run.lease, run.direction]).toEqual([state, null, 'down']);
    expect([await audited(db, 'down'), await people.countDocuments({ mark: 'x' })]).toEqual([60, 340]);
    expect(await brokenHistory(db)).toEqual([]);
    expect((await runJson(BACK.slice(0, 2), { cwd, uri })).json).toMatchObject({ restored: 400, identical: true });
    expect(await dataHash(db)).toEqual(before);
  }

  test.each(SIGNALS)(
    '%s in a run finishes the batch under way, saves the cursor, and leaves nothing open',
    { tags: ['F08', 'F09', 'P3', 'P10'] },
    (...one) => expectStopped(one, called),
  );

  test.each(SIGNALS)(
    '%s in a rollback does the same, and the rollback goes on from there',
    { tags: ['F08', 'F09', 'P3', 'P10'] },
    (...one) => expectStoppedOnTheWayBack(one, called),
  );

  test.each(matrix(SIGNALS))('%s ends a process in a run like that', { tags: ['F08', 'P12'] }, (...one) =>
    expectStopped(one, toProcess),
  );

  test.each(matrix(SIGNALS))('%s ends a process in a rollback like that', { tags: ['F08', 'P12'] }, (...one) =>
    expectStoppedOnTheWayBack(one, toProcess),
  );

  test('a second SIGINT leaves at once: the batch under way is undone, and the next run does it again', {
    tags: ['F09', 'P3', 'P12'],
  }, async () => {
    await fill();
    const cwd = await makeMigration(UP);
    const result = await started(RUN, cwd, { signals: ['SIGINT', 'SIGINT'], holdMs: 20_000 });
    expect(result.code).toBe(130);
    expect(result.tookMs).toBeLessThan(10_000);
    // What the process could not end itself, its sentinel does.
    await until(async () => (await openTransactions(db)) === 0);
    expect([await audited(db), await people.countDocuments({ mark: 'x' })]).toEqual([40, 40]);
    expect((await runJson(RUN.slice(0, 2), { cwd, uri })).json).toMatchObject({ state: 'completed', changed: 400 });
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db))]).toEqual([]);
  });

  test('a reader that goes away early ends a long list quietly', async () => {
    // More than a pipe holds (64 KiB), so that the command does write to nobody.
    const source =
      "import { defineMigration, transform } from 'godwit';\nexport default defineMigration({ description: 'a test', steps: [transform({ collection: 'people', up: (doc) => doc })] });\n";
    const names = Array.from({ length: 150 }, (_, n) => `scripts/migrations/m${n}.mjs`);
    const cwd = await makeProject(Object.fromEntries(names.map((name) => [name, source])));
    const all = await runJson(['list'], { cwd, uri });
    expect(all.stdout.length).toBeGreaterThan(70_000);
    for (const command of ['list', 'list --json']) {
      const script = `"${process.execPath}" "${MAIN}" ${command} | head -1; echo "\${PIPESTATUS[0]}"`;
      const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script], {
        cwd,
        env: { ...process.env, MONGODB_URI: uri },
      });
      expect([stdout.trim().split('\n').length, stdout.trim().split('\n')[1], stderr]).toEqual([2, '0', '']);
    }
  });
});
