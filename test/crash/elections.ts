/** Runs on the shared set of three, and what is done to its members: for the elections of both tiers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, expect } from 'vitest';
import { until } from '../support/crash.js';
import { useScratch } from '../support/scratch.js';
import { type Members, useSharedMembers } from '../support/servers.js';
import { expectAsUndisturbed, type Place, prepare, runTwin, type Told, type Twin } from '../support/trouble.js';

/** A connection may then be silent for 5 s: the first answer is none. */
export const SILENT_FOR_5_S = { GODWIT_LEASE_MS: '7500' };

/** How often members ask each other, in ms. */
const HEARTBEAT_MS = 500;

/** Something that is done to the set beside the run: resolves when the set is as it was. */
export type Back = Promise<void>;

export interface Elections {
  members(): Members;
  twin(): Twin;
  place(): Promise<Place>;
  /** The run came to its end by itself. */
  expectDone(at: Place, told: Told): Promise<void>;
  /** Kills the primary. @returns settles when it is back, which is not before there is another one */
  killPrimary(): Promise<{ readonly back: Back }>;
  /** How many commits the member was asked for. */
  commitsAskedOf(member: number): Promise<number>;
  /** Resolves when no other member hears of a write any more: what they are asking for already they still get. */
  unheard(at: Place, others: readonly number[]): Promise<void>;
}

/** Each test begins with a whole set. */
export function useElections(): Elections {
  const members = useSharedMembers('three');
  const scratch = useScratch('elect', () => members().server.uri);
  const place = (): Promise<Place> => prepare(scratch.make());
  let twin: Twin | undefined;
  beforeAll(async () => {
    // Members that come back are heard of sooner than by the 2 s of the server.
    const primary = await members().primary();
    const { config } = await members().command(primary, { replSetGetConfig: 1 });
    const settings = { ...config.settings, heartbeatIntervalMillis: HEARTBEAT_MS };
    await members().command(primary, { replSetReconfig: { ...config, version: config.version + 1, settings } });
    twin = await runTwin(await place());
  });
  beforeEach(() => members().whole());
  const known = (): Twin => {
    if (!twin) throw new Error('to be called inside a test');
    return twin;
  };

  return {
    members,
    place,
    twin: known,
    async expectDone(at, told) {
      expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
      await members().whole();
      await expectAsUndisturbed(at, known());
    },
    async killPrimary() {
      const primary = await members().primary();
      await members().kill(primary);
      const comeBack = async (): Promise<void> => {
        await members().primary();
        await members().restart(primary);
      };
      return { back: comeBack() };
    },
    async commitsAskedOf(member) {
      const { metrics } = await members().command(member, { serverStatus: 1 });
      return Number(metrics.commands.commitTransaction.total);
    },
    async unheard(at, others) {
      const heard = async (mark: number): Promise<boolean> => {
        const find = { find: 'heard', filter: { _id: mark }, $readPreference: { mode: 'secondaryPreferred' } };
        const seen = await Promise.all(others.map((other) => members().command(other, find, at.db.databaseName)));
        return seen.some(({ cursor }) => cursor.firstBatch.length > 0);
      };
      const marks = at.db.collection<{ _id: number }>('heard', { writeConcern: { w: 1 } });
      let mark = 0;
      await until(async () => {
        mark += 1;
        await marks.insertOne({ _id: mark });
        await sleep(700);
        return !(await heard(mark));
      });
    },
  };
}
