/** A wire between the runner and its server that is cut, silent or slow. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { killLeftovers } from '../support/process.js';
import { throughProxy, Wires } from '../support/proxy.js';
import { hashOf, useScratch } from '../support/scratch.js';
import {
  COUNT,
  expectAsUndisturbed,
  expectEnded,
  expectWhole,
  heldAt,
  type Place,
  prepare,
  RUN,
  runTwin,
  type Told,
  type Twin,
} from '../support/trouble.js';

/** Before a statement of each kind; the others are those of the elections. */
const POINTS = ['batch:before-read', 'batch:after-audit', 'batch:after-data', 'batch:before-commit'];
/** How the sentinel names itself to the server. */
const SENTINEL = 'godwit-sentinel';
/** A document of the third batch. */
const HELD = 45;
/** A writer waits for less than this for what a runner without a wire holds, in ms; a busy machine takes a while. */
const WAIT_MS = 3_000;
/** On top of the two round trips for which documents are held, in ms. */
const SLACK_MS = 600;
/** A connection may then be silent for two thirds of it. */
const LEASE_MS = 7_500;

describe('a run behind a wire', () => {
  const scratch = useScratch('wire', () => inject('mongoUri'));
  afterAll(killLeftovers);
  let wires: Wires;
  beforeEach(async () => {
    wires = await Wires.start(Number(/:(\d+)/.exec(inject('mongoUri').replace('mongodb://', ''))?.[1]));
  });
  afterEach(() => wires.close());

  let twin: Twin;
  beforeAll(async () => {
    twin = await runTwin(await prepare(scratch.make()));
  });

  async function place(): Promise<Place> {
    const { db, uri } = scratch.make();
    const at = await prepare({ db, uri });
    return { ...at, uri: throughProxy(uri, wires) };
  }

  async function expectDone(at: Place, told: Told): Promise<void> {
    expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
    await expectAsUndisturbed(at, twin);
  }

  /** A plain write of the application's on a document of the batch. @returns how long it waited, in ms */
  async function writeBeside({ db }: Place, _id = HELD): Promise<number> {
    const startedAt = performance.now();
    await db.collection<{ _id: number; n: number }>('people').updateOne({ _id }, { $inc: { n: 1 } });
    return performance.now() - startedAt;
  }

  /** Done, and what the application wrote beside it is there until it is taken back. */
  async function expectDoneBeside(at: Place, told: Told): Promise<void> {
    expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
    await expectWhole(at.db);
    expect(await at.db.collection('people').countDocuments({ $expr: { $ne: ['$n', '$_id'] } })).toBeGreaterThan(0);
    await at.db.collection('people').updateMany({}, [{ $set: { n: '$_id' } }]);
    expect(await hashOf(at.db, 'people')).toBe(twin.hash);
    expect((await runCommand(['rollback', 'm1'], at)).code).toBe(0);
    expect(await hashOf(at.db, 'people')).toBe(twin.before);
  }

  describe('that is cut at', () => {
    test.each(POINTS)('%s, and is there again at once, redoes a batch at most', async (point) => {
      const at = await place();
      const told = await heldAt(at, { at: point }, async () => {
        wires.cut();
        await sleep(100);
        wires.pass();
      });
      await expectDone(at, told);
    });

    test('batch:after-data, for the runner alone, keeps no writer waiting until it is back', async () => {
      const at = await place();
      wires.spare(SENTINEL);
      let waited: Promise<number> = Promise.resolve(0);
      const told = await heldAt(at, { at: 'batch:after-data' }, async () => {
        wires.cut();
        waited = writeBeside(at);
        void sleep(8_000).then(() => wires.pass());
      });
      expect(await waited).toBeLessThan(WAIT_MS);
      await expectDoneBeside(at, told);
    });
  });

  describe('that is cut in a commit', () => {
    test.each([0, 6_000])('and is there again after %s ms commits once', async (ms) => {
      const at = await place();
      let back: Promise<void> = Promise.resolve();
      const told = await heldAt(at, { at: 'batch:before-commit' }, async () => {
        back = wires.cutAfter('commitTransaction').then(async () => {
          await sleep(ms);
          wires.pass();
        });
      });
      await back;
      await expectDone(at, told);
    });

    test('and never again ends the run; the next one knows whether the batch is there', async () => {
      const at = await place();
      const told = await heldAt(at, { at: 'batch:before-commit', env: { GODWIT_OUTAGE_MS: '1000' } }, async () => {
        void wires.cutAfter('commitTransaction');
      });
      await expectEnded(at, told, 'GODWIT_NO_PRIMARY');
      wires.pass();
      expect((await runCommand(RUN, at)).code).toBe(0);
      await expectAsUndisturbed(at, twin);
    });
  });

  describe('that swallows everything', () => {
    test.each(['batch:before-read', 'batch:before-commit'])(
      'at %s is noticed before the lease ends, and keeps no writer waiting for that long',
      async (point) => {
        const at = await place();
        wires.spare(SENTINEL);
        let waited: Promise<number> = Promise.resolve(0);
        const told = await heldAt(at, { at: point, env: { GODWIT_LEASE_MS: String(LEASE_MS) } }, async () => {
          wires.blackHole();
          waited = writeBeside(at);
          void sleep(8_000).then(() => wires.pass());
        });
        expect(await waited).toBeLessThan(WAIT_MS);
        await expectDoneBeside(at, told);
      },
    );

    test('but the requests is noticed, too', async () => {
      const at = await place();
      const told = await heldAt(
        at,
        { at: 'batch:after-audit', env: { GODWIT_LEASE_MS: String(LEASE_MS) } },
        async () => {
          wires.dropReplies();
          void sleep(6_000).then(() => wires.pass());
        },
      );
      await expectDone(at, told);
    });
  });

  test('that takes 2 s each way is slow, and not taken for a dead one', async () => {
    const at = await place();
    const told = await heldAt(at, { at: 'batch:after-read:6' }, async () => {
      wires.delay(2_000);
      void until(async () => (await audited(at.db)) >= COUNT, 120_000).then(() => wires.pass());
    });
    expect(told.stderr).not.toMatch(/redone/);
    await expectDone(at, told);
  });

  test('that takes 100 ms each way holds documents for two round trips', async () => {
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
      wires.delay(100);
      writer.done = write();
      void until(async () => (await audited(at.db)) >= COUNT).then(() => {
        isOver = true;
      });
    });
    wires.pass();
    await writer.done;
    expect(longest).toBeLessThan(2 * 200 + SLACK_MS);
    await expectDoneBeside(at, told);
  });
});
