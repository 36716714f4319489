/** A wire between the runner and its server that is cut, silent or slow. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { audited, until } from '../support/crash.js';
import { matrix } from '../support/tiers.js';
import { COUNT, heldAt, processHeldAt, RUN } from '../support/trouble.js';
import { LEASE, SENTINEL, useWires, WAIT_MS } from './network.js';

/** Before a statement of each kind; the others are those of the elections. */
const POINTS = ['batch:after-data', 'batch:before-read', 'batch:after-audit', 'batch:before-commit'] as const;
/** Longer than a connection may be silent, in ms. */
const SILENT_MS = 6_000;
/** On top of the two round trips for which documents are held, in ms. */
const SLACK_MS = 600;

describe('a run behind a wire', () => {
  const { wires, place, expectDone, writeBeside, expectDoneBeside } = useWires();

  describe('that is cut at', () => {
    test.each(matrix(POINTS))(
      '%s, and is there again at once, redoes a batch at most',
      { tags: ['F20', 'P3'] },
      async (point) => {
        const at = await place();
        const told = await heldAt(at, { at: point }, async () => {
          wires().cut();
          await sleep(100);
          wires().pass();
        });
        await expectDone(at, told);
      },
    );

    test('batch:after-data, for the runner alone, keeps no writer waiting until it is back', {
      tags: ['F20', 'P2', 'P12'],
    }, async () => {
      const at = await place();
      wires().spare(SENTINEL);
      let waited: Promise<number> = Promise.resolve(0);
      const told = await processHeldAt(at, { at: 'batch:after-data' }, async () => {
        wires().cut();
        waited = writeBeside(at).finally(() => wires().pass());
      });
      expect(await waited).toBeLessThan(WAIT_MS);
      await expectDoneBeside(at, told);
    });
  });

  describe('that is cut in a commit', () => {
    test.each(matrix([0, 6_000]))(
      'and is there again after %s ms commits once',
      { tags: ['F21', 'P3', 'P5'] },
      async (ms) => {
        const at = await place();
        let back: Promise<void> = Promise.resolve();
        const told = await heldAt(at, { at: 'batch:before-commit' }, async () => {
          back = wires()
            .cutAfter('commitTransaction')
            .then(async () => {
              await sleep(ms);
              wires().pass();
            });
        });
        await back;
        await expectDone(at, told);
      },
    );
  });

  describe('that swallows everything', () => {
    test.each(matrix(['batch:before-commit', 'batch:before-read']))(
      'at %s is noticed before the lease ends, and keeps no writer waiting for that long',
      { tags: ['F22', 'P2', 'P12'] },
      async (point) => {
        const at = await place();
        wires().spare(SENTINEL);
        let waited: Promise<number> = Promise.resolve(0);
        const told = await processHeldAt(at, { at: point, env: LEASE }, async () => {
          wires().blackHole();
          waited = writeBeside(at);
          void sleep(SILENT_MS).then(() => wires().pass());
        });
        expect(await waited).toBeLessThan(WAIT_MS);
        await expectDoneBeside(at, told);
      },
    );
  });

  test('that takes 100 ms each way holds documents for two round trips', { tags: ['F23', 'P2', 'P12'] }, async () => {
    const at = await place();
    let longest = 0;
    let isOver = false;
    // Another document each time: one that is written again and again is locked first, and held for longer.
    const write = async (): Promise<void> => {
      for (let id = 0; !isOver; id += 7) {
        longest = Math.max(longest, await writeBeside(at, id % COUNT));
        await sleep(100);
      }
    };
    const writer = { done: Promise.resolve() };
    const told = await heldAt(at, { at: 'batch:before-read:1', args: [...RUN, '--batch-size', '60'] }, async () => {
      wires().delay(100);
      writer.done = write();
      void until(async () => (await audited(at.db)) >= COUNT).then(() => {
        isOver = true;
        // What comes after the batches would take its time for nothing.
        wires().pass();
      });
    });
    await writer.done;
    expect(longest).toBeLessThan(2 * 200 + SLACK_MS);
    await expectDoneBeside(at, told);
  });
});
