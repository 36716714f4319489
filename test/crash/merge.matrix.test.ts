/** A merge that is killed in its middle, and beside an application that goes on: nobody is twice, and nobody is lost. */
import { afterAll, describe, expect, test } from 'vitest';
import { callCommand, runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { killLeftovers, runProcess } from '../support/process.js';
import { matrix } from '../support/tiers.js';
import { expectSound, expectUnified, RUN, useMerges, writeBeside } from './merge.js';

describe('a merge', () => {
  const { place } = useMerges();
  afterAll(killLeftovers);

  test.each(matrix(['batch:after-data', 'batch:after-commit', 'plan:before-freeze']))(
    'killed at %s goes on to the same end, and back',
    { tags: ['F07', 'P3', 'P5'] },
    async (point) => {
      const [at, twin] = [await place(), await place()];
      const before = await at.hashes();
      await runJson(RUN.slice(0, -1), twin);
      const hit = point.startsWith('plan') ? 1 : 3;
      const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:${hit}:kill` };
      expect((await runProcess([...RUN, '--batch-size', '20'], { ...at, env })).signal).toBe('SIGKILL');
      expect((await runJson(RUN.slice(0, -1), at)).json).toMatchObject({ state: 'completed' });
      expect(await at.hashes()).toEqual(await twin.hashes());
      await expectUnified(at.db);
      await expectSound(at.db);
      expect((await runJson(['verify', 'm1'], at)).json).toMatchObject({ ok: true });
      const killed = await runProcess(['rollback', 'm1'], {
        ...at,
        env: { GODWIT_TEST: '1', GODWIT_FAULT: 'rollback:after-data:2:kill' },
      });
      expect(killed.signal).toBe('SIGKILL');
      expect((await runJson(['rollback', 'm1'], at)).json).toMatchObject({ identical: true });
      expect(await at.hashes()).toEqual(before);
    },
  );

  test('beside an application that edits, inserts and deletes loses and doubles nobody', {
    tags: ['F48', 'P2', 'P7'],
  }, async () => {
    const at = await place();
    const finish = writeBeside(at.db);
    const { end, signal } = callCommand([...RUN, '--batch-size', '20', '--workers', '4', '--follow'], at);
    // Some of it before the plan was made, some while it was carried out, and some that only its stream tells.
    const isFollowing = { state: 'catching-up' };
    await until(async () => (await at.db.collection('migrations').countDocuments(isFollowing)) > 0, 60_000);
    const before = await audited(at.db);
    await until(async () => (await audited(at.db)) > before + 20, 60_000);
    await finish();
    signal('SIGTERM');
    expect((await end).code).toBe(7);
    expect((await runJson(RUN.slice(0, -1), at)).json).toMatchObject({ state: 'completed' });
    await expectSound(at.db);
    expect((await runJson(['verify', 'm1'], at)).json).toMatchObject({ ok: true });
    await expectUnified(at.db);
  });
});
