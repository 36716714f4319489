/** Two real processes, one of which is stopped (SIGSTOP) until its lease has ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BSON } from 'mongodb';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { FAULT_POINTS, type FaultPoint } from '../../src/engine/fault-points.js';
import { carriedOut } from '../support/cases.js';
import { runCommand } from '../support/command.js';
import { brokenInvariants, until } from '../support/crash.js';
import { brokenHistory, currentRun, isStopped, killSentinelsOf } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const LEASE_MS = 1_500;
const RUN = ['run', 'm1', '--batch-size', '20', '--progress', 'none', '--json'];
/** Those of a batch; the one where the transaction is complete comes first, as the one that is most easily believed. */
const pointsOf = (kind: 'batch' | 'rollback'): FaultPoint[] => {
  const points = FAULT_POINTS.filter((point) => point.startsWith(`${kind}:`));
  return points.sort((a, b) => Number(b.endsWith(':before-commit')) - Number(a.endsWith(':before-commit')));
};

describe.each([
  ['run', pointsOf('batch')],
  ['rollback', pointsOf('rollback')],
] as const)('a %s that is stopped past its lease, and woken while another one is at work, at', (_verb, points) => {
  const scratch = useScratch('stopped', () => inject('mongoUri'));
  afterAll(killLeftovers);

  const seen = carriedOut(matrix(points), async (point) => {
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: 300 }, (_, _id) => ({ _id })));
    const before = await hashOf(db, 'people');
    const cwd = await makeMigration(UP);
    const isBack = point.startsWith('rollback:');
    if (isBack) await runCommand(RUN, { cwd, uri });
    const args = isBack ? ['rollback', 'm1', '--progress', 'none', '--json'] : RUN;
    const start = (fault: string, env: NodeJS.ProcessEnv = {}) =>
      startCommand(args, { cwd, uri, env: { GODWIT_TEST: '1', GODWIT_FAULT: fault, ...env } });

    const first = start(`${point}:4:stop`, { GODWIT_LEASE_MS: String(LEASE_MS) });
    const firstEnd = finished(first);
    await until(() => isStopped(first.pid));
    // Without its sentinel it is the takeover that has to end its transaction.
    killSentinelsOf(first.pid);
    await sleep(LEASE_MS + 500);
    const second = start(isBack ? 'rollback:after-read:4:stop' : 'batch:after-read:4:stop');
    const secondEnd = finished(second);
    await until(() => isStopped(second.pid));
    const holder = (await currentRun(db)).lease?.owner.pid;

    // By plain reads: dbHash would wait for the transaction of the second one.
    const stored = (name: string) => db.collection(name).find().sort({ _id: 1 }).toArray();
    const look = async (): Promise<string> =>
      BSON.EJSON.stringify(await Promise.all(['migrations_audit', 'migrations_chunks', 'people'].map(stored)));
    const atWork = await look();
    first.kill('SIGCONT');
    const woken = await firstEnd;
    const isUntouched = (await look()) === atWork;
    second.kill('SIGCONT');
    const finisher = await secondEnd;
    const broken = [...(await brokenInvariants(db)), ...(await brokenHistory(db))];
    if (!isBack) await runCommand(['rollback', 'm1'], { cwd, uri });
    return {
      woken: [woken.code, (JSON.parse(woken.stdout) as { error?: { code: string } }).error?.code],
      finisher: [finisher.code, (JSON.parse(finisher.stdout) as { state?: string }).state],
      rest: {
        isHeldBySecond: holder === second.pid,
        isUntouched,
        broken,
        isBackAgain: (await hashOf(db, 'people')) === before,
      },
    };
  });

  test.each(matrix(points))(
    '%s exits 5 and changes nothing; the other one finishes',
    { tags: ['F10', 'P4'] },
    (point) => {
      const { woken, finisher, rest } = seen(point);
      expect(woken).toEqual([5, 'GODWIT_LEASE_LOST']);
      expect(finisher).toEqual([0, point.startsWith('rollback:') ? 'rolled-back' : 'completed']);
      expect(rest).toEqual({ isHeldBySecond: true, isUntouched: true, broken: [], isBackAgain: true });
    },
  );
});
