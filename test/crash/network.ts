/** Runs whose server is behind a wire, for both tiers. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject } from 'vitest';
import { runCommand } from '../support/command.js';
import { killLeftovers } from '../support/process.js';
import { throughProxy, Wires } from '../support/proxy.js';
import { hashOf, useScratch } from '../support/scratch.js';
import {
  expectAsUndisturbed,
  expectWhole,
  type Place,
  prepare,
  runTwin,
  type Told,
  type Twin,
} from '../support/trouble.js';

/** How the sentinel names itself to the server. */
export const SENTINEL = 'godwit-sentinel';
/** A document of the third batch. */
const HELD = 45;
/** A writer waits for less than this for what a runner without a wire holds, in ms; a busy machine takes a while. */
export const WAIT_MS = 3_000;
/** A connection may then be silent for two thirds of it: 5 s. */
export const LEASE = { GODWIT_LEASE_MS: '7500' };

export interface Wired {
  wires(): Wires;
  twin(): Twin;
  /** Filled; its URI leads through the wires. */
  place(): Promise<Place>;
  expectDone(at: Place, told: Told): Promise<void>;
  /** A plain write of the application's on a document of the batch. @returns how long it waited, in ms */
  writeBeside(at: Place, _id?: number): Promise<number>;
  /** Done, and what the application wrote beside it is there until it is taken back. */
  expectDoneBeside(at: Place, told: Told): Promise<void>;
}

/** Wires of their own for each test. */
export function useWires(): Wired {
  const scratch = useScratch('wire', () => inject('mongoUri'));
  afterAll(killLeftovers);
  let wires: Wires | undefined;
  let twin: Twin | undefined;
  beforeEach(async () => {
    wires = await Wires.start(Number(/:(\d+)/.exec(inject('mongoUri').replace('mongodb://', ''))?.[1]));
  });
  afterEach(() => wires?.close());
  beforeAll(async () => {
    twin = await runTwin(await prepare(scratch.make()));
  });
  const started = (): Wires => {
    if (!wires) throw new Error('to be called inside a test');
    return wires;
  };
  const known = (): Twin => {
    if (!twin) throw new Error('to be called inside a test');
    return twin;
  };
  const expectCompleted = (told: Told): void =>
    expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);

  return {
    wires: started,
    twin: known,
    async place() {
      const at = await prepare(scratch.make());
      return { ...at, uri: throughProxy(at.uri, started()) };
    },
    async expectDone(at, told) {
      expectCompleted(told);
      await expectAsUndisturbed(at, known());
    },
    async writeBeside({ db }, _id = HELD) {
      const startedAt = performance.now();
      await db.collection<{ _id: number; n: number }>('people').updateOne({ _id }, { $inc: { n: 1 } });
      return performance.now() - startedAt;
    },
    async expectDoneBeside(at, told) {
      expectCompleted(told);
      await expectWhole(at.db);
      expect(await at.db.collection('people').countDocuments({ $expr: { $ne: ['$n', '$_id'] } })).toBeGreaterThan(0);
      await at.db.collection('people').updateMany({}, [{ $set: { n: '$_id' } }]);
      expect(await hashOf(at.db, 'people')).toBe(known().hash);
      expect((await runCommand(['rollback', 'm1'], at)).code).toBe(0);
      expect(await hashOf(at.db, 'people')).toBe(known().before);
    },
  };
}
