/** Elections, lost primaries and commits that nobody answered, on a set of three. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoError } from 'mongodb';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { rawDocuments } from '../../src/mongo/raw-documents.js';
import { runCommand } from '../support/command.js';
import { until } from '../support/crash.js';
import { killLeftovers } from '../support/process.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { type Members, useSharedMembers } from '../support/servers.js';
import {
  BATCH_POINTS,
  COUNT,
  errorCode,
  expectAsUndisturbed,
  expectWhole,
  heldAt,
  type Place,
  prepare,
  RUN,
  runTwin,
  type Told,
  type Twin,
} from '../support/trouble.js';

/** Of a killed primary, in ms: longer than an election of 2 s. */
const DOWN_MS = 3_000;

/** For how long who has stepped down may not be elected again, and somewhat more, in ms. */
const NO_PRIMARY_MS = 6_000;

describe('on a replica set of three', () => {
  const members = useSharedMembers('three');
  const scratch = useScratch('elect', () => members().server.uri);
  afterAll(killLeftovers);

  const place = (): Promise<Place> => prepare(scratch.make());
  let twin: Twin;
  beforeAll(async () => {
    twin = await runTwin(await place());
  });
  beforeEach(() => members().whole());

  /** The run came to its end by itself. */
  async function expectDone(at: Place, told: Told): Promise<void> {
    expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
    await members().whole();
    await expectAsUndisturbed(at, twin);
  }

  describe('a primary that steps down at', () => {
    test.each(BATCH_POINTS)('%s costs a batch that is redone', async (point) => {
      const at = await place();
      const told = await heldAt(at, { at: point }, () => members().stepDown());
      await expectDone(at, told);
      expect(told.stderr).not.toMatch(/change stream ended/);
    });
  });

  // Seeds 900101 and 900212 of the campaign.
  test.each(['lease:after-take', 'sessions:after-kill'] as const)(
    'a primary that steps down at %s costs a take-over that goes on',
    async (point) => {
      const at = await place();
      const told = await heldAt(at, { at: point }, () => members().stepDown());
      await expectDone(at, told);
    },
  );

  describe('a primary that is lost to a rollback at', () => {
    const BACK = ['rollback', 'm1', '--workers', '1', '--progress', 'plain', '--json'];
    const stepDown = async (): Promise<() => Promise<void>> => {
      await members().stepDown();
      return async () => undefined;
    };
    const killed = async (): Promise<() => Promise<void>> => {
      const primary = await members().primary();
      await members().kill(primary);
      return async () => {
        await sleep(DOWN_MS);
        await members().restart(primary);
      };
    };
    test.each([
      ['rollback:after-data', 'stepped down', stepDown],
      ['rollback:after-audit', 'killed', killed],
      ['rollback:before-commit', 'killed', killed],
    ] as const)('%s, %s, costs a batch that is redone', async (point, _how, lose) => {
      const at = await place();
      expect((await runCommand(RUN, at)).code).toBe(0);
      let back: Promise<unknown> = Promise.resolve();
      const told = await heldAt(at, { at: point, args: BACK }, async () => {
        back = (await lose())();
      });
      await back;
      expect([told.code, told.json], told.stderr).toMatchObject([0, { state: 'rolled-back', restored: COUNT }]);
      await members().whole();
      await expectWhole(at.db);
      expect(await hashOf(at.db, 'people')).toBe(twin.before);
    });
  });

  test('a set that loses a member and gets it back goes on', async () => {
    const at = await place();
    const told = await heldAt(at, { at: 'batch:after-data' }, async () => {
      const [gone] = await members().secondaries();
      const primary = await members().primary();
      const { config } = await members().command(primary, { replSetGetConfig: 1 });
      const left = config.members.filter(({ _id }: { _id: number }) => _id !== gone);
      await members().command(primary, { replSetReconfig: { ...config, version: config.version + 1, members: left } });
      await members().command(primary, { replSetReconfig: { ...config, version: config.version + 2 } });
    });
    await expectDone(at, told);
  });

  describe('a primary that is killed at', () => {
    test.each(['batch:after-audit', 'batch:before-commit'])(
      '%s is waited for until there is another one',
      async (point) => {
        const at = await place();
        let back: Promise<void> = Promise.resolve();
        const told = await heldAt(at, { at: point }, async () => {
          const primary = await members().primary();
          await members().kill(primary);
          back = sleep(DOWN_MS).then(() => members().restart(primary));
        });
        await back;
        await expectDone(at, told);
      },
    );
  });

  describe('a commit without an answer', () => {
    test('that was carried out is not carried out again', async () => {
      const at = await place();
      const primary = await members().primary();
      let back: Promise<void> = Promise.resolve();
      const told = await heldAt(at, { at: 'batch:before-commit' }, async () => {
        const hold = { commands: ['commitTransaction'] };
        await members().failPoint(primary, 'waitAfterCommandFinishesExecution', 'alwaysOn', hold);
        back = sleep(2_000).then(async () => {
          await members().kill(primary);
          await sleep(DOWN_MS);
          await members().restart(primary);
        });
      });
      await back;
      expect(told.stderr).toMatch(/result of a commit was unknown; resolved: committed/);
      await expectDone(at, told);
    });

    test('that was lost with its primary is redone', async () => {
      const at = await place();
      const primary = await members().primary();
      const others = await members().secondaries();
      let back: Promise<void> = Promise.resolve();
      const told = await heldAt(at, { at: 'batch:before-commit' }, async () => {
        await members().setReplication(others, false);
        const chunks = at.db.collection<{ seq: number }>('migrations_chunks');
        const committed = async (): Promise<number> =>
          (await chunks.find().toArray()).reduce((sum, { seq }) => sum + seq, 0);
        const before = await committed();
        // On the primary it is there, and nowhere else.
        back = until(async () => (await committed()) > before).then(async () => {
          await members().kill(primary);
          await members().setReplication(others, true);
          // Not before there is another one: that would fetch from it what it has missed.
          await members().primary();
          await members().restart(primary);
        });
      });
      await back;
      // Where the driver has asked the new primary by itself, the first answer is one.
      expect(told.stderr).toMatch(/result of a commit was unknown; resolved: not committed|code 251/);
      await expectDone(at, told);
    });

    test('while no other member hears of it is waited for', async () => {
      const at = await place();
      const others = await members().secondaries();
      let back: Promise<void> = Promise.resolve();
      // A connection may then be silent for 5 s: the first answer is none.
      const env = { GODWIT_LEASE_MS: '7500' };
      const told = await heldAt(at, { at: 'batch:before-commit', env }, async () => {
        await members().setReplication(others, false);
        back = sleep(7_000).then(async () => {
          await members().setReplication(others, true);
        });
      });
      await back;
      await expectDone(at, told);
    });
  });

  /** Resolves when no other member hears of a write any more: what they are asking for already they still get. */
  async function unheard(at: Place, others: readonly number[]): Promise<void> {
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
  }

  test('a write of the application that its failover takes back takes the batch with it', async () => {
    const at = await place();
    const primary = await members().primary();
    const others = await members().secondaries();
    let back: Promise<void> = Promise.resolve();
    const env = { GODWIT_LEASE_MS: '7500' };
    const told = await heldAt(at, { at: 'batch:before-read', env }, async () => {
      await members().setReplication(others, false);
      await unheard(at, others);
      const people = at.db.collection<{ _id: number }>('people', { writeConcern: { w: 1 } });
      await people.updateOne({ _id: 45 }, { $set: { doomed: true } });
      back = sleep(1_500).then(async () => {
        await members().kill(primary);
        await members().setReplication(others, true);
        await members().primary(); // as above
        await members().restart(primary);
      });
    });
    await back;
    await members().whole();
    expect(await at.db.collection('people').countDocuments({ doomed: true })).toBe(0);
    await expectDone(at, told);
  });

  test('a plan whose freezing nobody confirmed is there with its chunks, or not at all', async () => {
    const at = await place();
    const others = await members().secondaries();
    let back: Promise<void> = Promise.resolve();
    const env = { GODWIT_LEASE_MS: '7500' };
    // The insert of the run is asked for twice, for 5 s each: then nobody knows.
    const told = await heldAt(at, { at: 'plan:before-freeze:1', env }, async () => {
      await members().setReplication(others, false);
      await unheard(at, others);
      back = sleep(14_000).then(async () => {
        await members().setReplication(others, true);
      });
    });
    await back;
    await members().whole();
    if (told.code !== 0) expect([told.code, errorCode(told)], told.stderr).toEqual([1, 'GODWIT_NO_PRIMARY']);
    const again = await runCommand(RUN, at);
    expect(again.code, again.stderr).toBe(0);
    await expectAsUndisturbed(at, twin);
  });

  test('documents are read as bytes beside step-downs, which are told as what they are', async () => {
    const { db } = await place();
    let isOver = false;
    const met = new Set<string>();
    const read = async (): Promise<void> => {
      const session = db.client.startSession();
      session.startTransaction({ readConcern: { level: 'snapshot' } });
      try {
        const find = { find: 'people', filter: {}, batchSize: COUNT + 1 };
        for await (const bytes of rawDocuments(db, find, session)) expect(bytes).toBeInstanceOf(Uint8Array);
        await session.commitTransaction();
        met.add('read');
      } catch (error) {
        met.add(error instanceof MongoError ? 'told' : String(error));
        await session.abortTransaction().catch(() => undefined);
      } finally {
        await session.endSession();
      }
    };
    const readers = Promise.all(
      [1, 2, 3, 4].map(async () => {
        while (!isOver) await read();
      }),
    );
    try {
      await members().stepDown();
      await sleep(NO_PRIMARY_MS);
      await members().stepDown();
      await members().whole();
    } finally {
      isOver = true;
      await readers;
    }
    expect([...met].sort()).toEqual(['read', 'told']);
  });

  /** Two of three die; those that are left elect nobody. */
  async function withoutMajority(set: Members, ms: number): Promise<void> {
    const [primary, [other]] = [await set.primary(), await set.secondaries()];
    const gone = [primary, other ?? 0];
    for (const member of gone) await set.kill(member);
    void sleep(ms).then(() => Promise.all(gone.map((member) => set.restart(member))));
  }

  test('a set without a primary is waited for', async () => {
    const at = await place();
    const told = await heldAt(at, { at: 'batch:after-data' }, () => withoutMajority(members(), 8_000));
    expect(told.stderr).not.toMatch(/change stream ended/);
    await expectDone(at, told);
  });
});
