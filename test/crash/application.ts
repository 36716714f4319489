/** An application that writes at full speed to the documents of a run whose runners are killed and stopped. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from 'mongodb';
import { expect } from 'vitest';
import { Application, type Customer, LOWER } from '../support/application.js';
import { runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { brokenHistory, brokenSums } from '../support/observe.js';
import { finished, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

const BACK = ['rollback', 'm1', '--progress', 'none'];

export interface Disturbance {
  readonly db: Db;
  readonly uri: string;
  /** Documents, a twentieth of which is a batch. */
  readonly count: number;
  /** What the runners forwards and back are sent, one after the other, each in its middle. */
  readonly up: readonly NodeJS.Signals[];
  readonly down: readonly NodeJS.Signals[];
}

/** Forwards and back: no write is lost, and none waits for long. */
export async function expectNothingLost({ db, uri, count, up, down }: Disturbance): Promise<void> {
  const people = db.collection<Customer>('people');
  const run = ['run', 'm1', '--batch-size', String(count / 20), '--progress', 'none'];
  await Application.fill(db, 'people', count);
  const cwd = await makeMigration(LOWER);
  const application = new Application(uri, db.databaseName, 'people');

  /** Starts the command, and sends the signal once some more documents are through. */
  async function disturb(args: readonly string[], signal: NodeJS.Signals, direction: 'up' | 'down'): Promise<void> {
    const before = await audited(db, direction);
    const child = startCommand(args, { cwd, uri, env: { GODWIT_TEST: '1', GODWIT_LEASE_MS: '3000' } });
    const end = finished(child);
    await until(async () => child.exitCode !== null || (await audited(db, direction)) > before + 0.15 * count);
    child.kill(signal);
    if (signal === 'SIGSTOP') {
      // Long after the next one has taken it, also on a busy machine: woken before, it would go on, and be the holder.
      setTimeout(() => child.kill('SIGCONT'), 12_000);
      // Until its lease has run out: while the process lives, nobody else is let in before.
      await sleep(3_500);
    } else await end;
  }

  try {
    application.start(count, 1);
    for (const signal of up) await disturb(run, signal, 'up');
    const { code, json } = await runJson(run, { cwd, uri });
    expect([code, json['state']]).toEqual([0, 'completed']);
    await application.stop();
    expect(await application.lost()).toEqual([]);
    expect([await brokenSums(db), await brokenHistory(db)]).toEqual([[], []]);
    const forward = { writes: application.writes, retried: application.retried, longestMs: application.longestMs };

    application.start(count, 2);
    for (const signal of down) await disturb(BACK, signal, 'down');
    const back = await runJson(BACK, { cwd, uri });
    await application.stop();
    expect([0, 4]).toContain(back.code);
    expect(back.json['state']).toBe('rolled-back');
    expect(await application.lost()).toEqual([]);
    // In the new shape is only what the application put there: whole documents that it had read before.
    const { conflicts, noBefore } = back.json as { conflicts: number; noBefore: number };
    expect(await people.countDocuments({ v: 2 })).toBeLessThanOrEqual(conflicts + noBefore);
    console.log(
      `beside ${forward.writes} writes (${forward.retried} of its transactions tried again, longest wait ${Math.round(forward.longestMs)} ms): conflicts retried ${json['conflictsRetried']}; back beside ${application.writes - forward.writes}, longest wait ${Math.round(application.longestMs)} ms, ${conflicts} conflicts, ${noBefore} without a before image`,
    );
    expect(application.longestMs).toBeLessThan(3_500);
  } finally {
    await application.stop();
    await application.close();
  }
}
