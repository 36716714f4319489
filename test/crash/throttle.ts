/** Runs that wait for a signal, for both tiers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect } from 'vitest';
import { type Call, callCommand } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { currentRun, openTransactions } from '../support/observe.js';
import { useScratch } from '../support/scratch.js';
import { type Members, useSharedMembers } from '../support/servers.js';
import { type Place, prepare, RUN } from '../support/trouble.js';

/** Signals are looked at once a second: one look more, in ms. */
const ONE_LOOK_MS = 1_200;

export const waits = async ({ db }: Place): Promise<boolean> =>
  (await currentRun(db).catch(() => null))?.state === 'throttled';

/** It waits and holds nothing; until then nothing, or not all, was written. */
export async function expectWaiting(at: Place, reason: object): Promise<void> {
  await until(() => waits(at));
  const before = await audited(at.db);
  await sleep(ONE_LOOK_MS);
  expect([await waits(at), await audited(at.db), await openTransactions(at.db)]).toEqual([true, before, 0]);
  expect((await currentRun(at.db)).throttled).toMatchObject([reason]);
}

export const startRun = (at: Place, env: NodeJS.ProcessEnv = {}, args = RUN): Call => callCommand(args, { ...at, env });

export interface Lagging {
  members(): Members;
  /** A run that begins there now finds the secondary too far behind. */
  place(): Promise<Place>;
  startRun(at: Place): Call;
  /** The secondary hears of everything again. */
  catchUp(): Promise<void>;
}

/** The shared set of three, one of which does not hear of what is written. */
export function useLaggingSecondary(): Lagging {
  const members = useSharedMembers('three');
  const scratch = useScratch('lag', () => members().server.uri);
  let lagging = 0;
  const catchUp = async (): Promise<void> => {
    await members().setReplication([lagging], true);
    // It is told whom to hear from, as it may have given up on them meanwhile.
    const { port } = members().server.members[await members().primary()] ?? {};
    await members().command(lagging, { replSetSyncFrom: `127.0.0.1:${port}` });
  };

  /** A secondary from which the other one does not hear what is written: else both would be behind, and no majority. */
  async function leaf(): Promise<number> {
    const secondaries = await members().secondaries();
    const sourceOf = async (member: number): Promise<string> =>
      String((await members().command(member, { replSetGetStatus: 1 }))['syncSourceHost']);
    let sources: string[] = [];
    await until(async () => {
      sources = await Promise.all(secondaries.map(sourceOf));
      return sources.every((source) => source !== '');
    });
    const isLeaf = (member: number): boolean =>
      sources.every((source) => !source.endsWith(`:${members().server.members[member]?.port}`));
    return secondaries.find(isLeaf) ?? -1;
  }

  beforeEach(async () => {
    lagging = await leaf();
    await members().setReplication([lagging], false);
  });
  afterEach(async () => {
    await catchUp();
    await members().whole();
  });

  /** How far it is behind by its own account, in ms. */
  async function lag(): Promise<number> {
    const status = await members().command(await members().primary(), { replSetGetStatus: 1 });
    const times = (status['members'] as { optimeDate: Date }[]).map(({ optimeDate }) => optimeDate.getTime());
    return Math.max(...times) - Math.min(...times);
  }

  return {
    members,
    catchUp,
    async place() {
      const at = await prepare(scratch.make());
      await until(async () => {
        await at.db.collection('others').insertOne({});
        await sleep(100);
        return (await lag()) >= 1_000;
      });
      return at;
    },
    startRun: (at) => startRun(at, { GODWIT_THROTTLE_MAX_LAG_MS: '500' }),
  };
}
