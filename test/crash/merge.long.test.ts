/** A merge with other workers, and one that is killed at random beside an application. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { currentRun } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { expectSound, expectUnified, RUN, useMerges, writeBeside } from './merge.js';

describe('a merge', () => {
  const { place } = useMerges();
  afterAll(killLeftovers);

  test('is the same with one worker and with four', async () => {
    const [one, four] = [await place(), await place()];
    await runJson([...RUN.slice(0, -1), '--workers', '1', '--batch-size', '50'], one);
    await runJson([...RUN.slice(0, -1), '--workers', '4', '--batch-size', '7'], four);
    expect(await one.hashes()).toEqual(await four.hashes());
    await expectUnified(one.db);
  });

  test('beside an application that edits, inserts and deletes, killed at random, loses and doubles nobody', {
    tags: ['F07', 'F48', 'P2', 'P3', 'P7'],
  }, async () => {
    const at = await place();
    const { db } = at;
    const finish = writeBeside(db);
    for (let kill = 0; kill < 3; kill += 1) {
      const child = startCommand([...RUN, '--batch-size', '5', '--workers', '4', '--max-rate', '60'], at);
      const end = finished(child);
      const before = await audited(db);
      await until(async () => (await audited(db)) > before + 20 || child.exitCode !== null, 60_000);
      child.kill('SIGKILL');
      await end;
    }
    const following = startCommand([...RUN, '--batch-size', '20', '--workers', '4', '--follow'], at);
    const end = finished(following);
    await until(async () => (await currentRun(db)).state === 'catching-up' || following.exitCode !== null, 60_000);
    await sleep(1_000);
    await finish();
    following.kill('SIGTERM');
    expect((await end).code).toBe(7);
    expect((await runJson(RUN.slice(0, -1), at)).json).toMatchObject({ state: 'completed' });
    await expectSound(db);
    expect((await runJson(['verify', 'm1'], at)).json).toMatchObject({ ok: true });
    await expectUnified(db);
  });
});
