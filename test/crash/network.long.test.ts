/** A wire that is silent or slow for as long as it takes to notice. */
import { describe, expect, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { COUNT, expectAsUndisturbed, expectEnded, heldAt, RUN } from '../support/trouble.js';
import { LEASE, useWires } from './network.js';

describe('a run behind a wire', () => {
  const { wires, place, twin, expectDone } = useWires();

  test('that swallows everything but the requests is noticed, too', { tags: ['F22'] }, async () => {
    const at = await place();
    const told = await heldAt(at, { at: 'batch:after-audit', env: LEASE }, async (stderr) => {
      wires().dropReplies();
      void until(() => /connection lost, reconnecting/.test(stderr())).then(() => wires().pass());
    });
    expect(told.stderr).toMatch(/connection lost, reconnecting/);
    await expectDone(at, told);
  });

  test('that is cut in a commit and never again there ends the run; the next one knows whether the batch is there', {
    tags: ['F18', 'F21', 'P3', 'P5', 'P10'],
  }, async () => {
    const at = await place();
    const told = await heldAt(at, { at: 'batch:before-commit', env: { GODWIT_OUTAGE_MS: '1000' } }, async () => {
      void wires().cutAfter('commitTransaction');
    });
    await expectEnded(at, told, 'GODWIT_NO_PRIMARY');
    wires().pass();
    expect((await runCommand(RUN, at)).code).toBe(0);
    await expectAsUndisturbed(at, twin());
  });

  test('that takes 2 s each way is slow, and not taken for a dead one', { tags: ['F23'] }, async () => {
    const at = await place();
    const told = await heldAt(at, { at: 'batch:after-read:6' }, async () => {
      wires().delay(2_000);
      void until(async () => (await audited(at.db)) >= COUNT, 120_000).then(() => wires().pass());
    });
    expect(told.stderr).not.toMatch(/redone/);
    await expectDone(at, told);
  });
});
