import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { type CommandResult, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { brokenHistory, brokenSums, currentRun, openTransactions } from '../support/observe.js';
import { finished, killLeftovers, MAIN, startCommand } from '../support/process.js';
import { makeMigration, makeProject } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const RUN = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--json', '--progress', 'none'];
const BACK = ['rollback', 'm1', '--workers', '1', '--json', '--progress', 'none'];

const SIGNALS: readonly (readonly [NodeJS.Signals, number, string])[] = [
  ['SIGINT', 130, 'interrupted'],
  ['SIGTERM', 7, 'stopped'],
  ['SIGHUP', 7, 'stopped'],
];

describe('signals', () => {
  const { db, uri } = useDatabase('signals');
  afterAll(killLeftovers);
  const people = db.collection<{ _id: number; mark?: string }>('people');

  const fill = (): Promise<unknown> => people.insertMany(Array.from({ length: 400 }, (_, _id) => ({ _id })));

  /** A command held in its batch after 40 documents, between write and commit, and given the signals, 50 ms apart. */
  async function signalled(
    args: readonly string[],
    cwd: string,
    signals: readonly NodeJS.Signals[],
    holdMs: number,
  ): Promise<CommandResult & { readonly tookMs: number }> {
    // The batch that a rollback undoes first is the empty one that closed the chunk.
    const [point, direction] =
      args[0] === 'run' ? (['batch:after-data:3', 'up'] as const) : (['rollback:after-data:4', 'down'] as const);
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:sleep:${holdMs}` };
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

  test.each(SIGNALS)(
    '%s in a run finishes the batch under way, saves the cursor, and leaves nothing open',
    async (signal, code, state) => {
      await fill();
      const cwd = await makeMigration(UP);
      const result = await signalled(RUN, cwd, [signal], 900);
      expect([result.code, stateIn(result)]).toEqual([code, state]);
      expect(await openTransactions(db)).toBe(0);
      const run = await currentRun(db);
      expect([run.state, run.lease]).toEqual([state, null]);
      expect([await audited(db), await people.countDocuments({ mark: 'x' })]).toEqual([60, 60]);
      expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
      expect((await runJson(RUN.slice(0, 2), { cwd, uri })).json).toMatchObject({ state: 'completed', changed: 400 });
    },
  );

  test.each(SIGNALS)(
    '%s in a rollback does the same, and the rollback goes on from there',
    async (signal, code, state) => {
      await fill();
      const before = await dataHash(db);
      const cwd = await makeMigration(UP);
      await runJson(RUN.slice(0, 4), { cwd, uri });
      const result = await signalled(BACK, cwd, [signal], 900);
      expect([result.code, stateIn(result)]).toEqual([code, state]);
      expect(await openTransactions(db)).toBe(0);
      const run = await currentRun(db);
      expect([run.state, run.lease, run.direction]).toEqual([state, null, 'down']);
      expect([await audited(db, 'down'), await people.countDocuments({ mark: 'x' })]).toEqual([60, 340]);
      expect(await brokenHistory(db)).toEqual([]);
      expect((await runJson(BACK.slice(0, 2), { cwd, uri })).json).toMatchObject({ restored: 400, identical: true });
      expect(await dataHash(db)).toEqual(before);
    },
  );

  test('a second SIGINT leaves at once: the batch under way is undone, and the next run does it again', async () => {
    await fill();
    const cwd = await makeMigration(UP);
    const result = await signalled(RUN, cwd, ['SIGINT', 'SIGINT'], 20_000);
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
