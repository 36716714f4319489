/** An application that writes to the same documents at full speed: no write of it is lost, and runs end beside it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { Application, type Customer, LOWER } from '../support/application.js';
import { runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { brokenHistory, brokenSums } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';

const COUNT = 2_000;
const RUN = ['run', 'm1', '--batch-size', '100', '--progress', 'none'];
const BACK = ['rollback', 'm1', '--progress', 'none'];

describe('an application at full speed', () => {
  const { db, uri } = useDatabase('application');
  afterAll(killLeftovers);
  const people = db.collection<Customer>('people');

  test('loses no write and waits 3 s at most, forwards and back, though runners are killed and stopped', async () => {
    await Application.fill(db, 'people', COUNT);
    const cwd = await makeMigration(LOWER);
    const application = new Application(uri, db.databaseName, 'people');

    /** Starts the command, and sends the signal once some more documents are through. */
    async function disturbed(args: readonly string[], signal: NodeJS.Signals, direction: 'up' | 'down'): Promise<void> {
      const before = await audited(db, direction);
      const child = startCommand(args, { cwd, uri, env: { GODWIT_TEST: '1', GODWIT_LEASE_MS: '3000' } });
      const end = finished(child);
      await until(async () => child.exitCode !== null || (await audited(db, direction)) > before + 300);
      child.kill(signal);
      if (signal === 'SIGSTOP') {
        // Long after the next one has taken it, also on a busy machine: woken before, it would go on, and be the holder.
        setTimeout(() => child.kill('SIGCONT'), 12_000);
        // Until its lease has run out: while the process lives, nobody else is let in before.
        await sleep(3_500);
      } else await end;
    }

    try {
      application.start(COUNT, 1);
      await disturbed(RUN, 'SIGKILL', 'up');
      await disturbed(RUN, 'SIGSTOP', 'up');
      await disturbed(RUN, 'SIGKILL', 'up');
      const run = await runJson(RUN, { cwd, uri });
      expect([run.code, run.json['state']]).toEqual([0, 'completed']);
      await application.stop();
      expect(await application.lost()).toEqual([]);
      expect([await brokenSums(db), await brokenHistory(db)]).toEqual([[], []]);
      const forward = { writes: application.writes, retried: application.retried, longestMs: application.longestMs };

      application.start(COUNT, 2);
      await disturbed(BACK, 'SIGKILL', 'down');
      await disturbed(BACK, 'SIGSTOP', 'down');
      const back = await runJson(BACK, { cwd, uri });
      await application.stop();
      expect([0, 4]).toContain(back.code);
      expect(back.json['state']).toBe('rolled-back');
      expect(await application.lost()).toEqual([]);
      // In the new shape is only what the application put there: whole documents that it had read before.
      const { conflicts, noBefore } = back.json as { conflicts: number; noBefore: number };
      expect(await people.countDocuments({ v: 2 })).toBeLessThanOrEqual(conflicts + noBefore);
      console.log(
        `beside ${forward.writes} writes (${forward.retried} of its transactions tried again, longest wait ${Math.round(forward.longestMs)} ms): conflicts retried ${run.json['conflictsRetried']}; back beside ${application.writes - forward.writes}, longest wait ${Math.round(application.longestMs)} ms, ${conflicts} conflicts, ${noBefore} without a before image`,
      );
      expect(application.longestMs).toBeLessThan(3_500);
    } finally {
      await application.stop();
      await application.close();
    }
  }, 400_000);
});
