/** Elections, lost primaries and commits that nobody answered, on a set of three. */
import { describe, expect, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { until } from '../support/crash.js';
import { hashOf } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';
import { BATCH_POINTS, COUNT, expectWhole, heldAt, type Place, RUN } from '../support/trouble.js';
import { type Back, SILENT_FOR_5_S, useElections } from './elections.js';

/** Where the most is there that nobody else has yet, first. */
const POINTS = [...BATCH_POINTS].sort((a, b) => Number(b === 'batch:after-data') - Number(a === 'batch:after-data'));

describe('on a replica set of three', () => {
  const { members, twin, place, expectDone, killPrimary, commitsAskedOf, unheard } = useElections();

  describe('a primary that steps down at', () => {
    test.each(matrix(POINTS))('%s costs a batch that is redone', { tags: ['F15', 'P3', 'P5'] }, async (point) => {
      const at = await place();
      const told = await heldAt(at, { at: point }, () => members().stepDown());
      await expectDone(at, told);
      expect(told.stderr).not.toMatch(/change stream ended/);
    });
  });

  // Seeds 900101 and 900212 of the campaign.
  const BEFORE_BATCHES = ['lease:after-take', 'sessions:after-kill'] as const;
  test.each(matrix(BEFORE_BATCHES))(
    'a primary that steps down at %s costs a take-over that goes on',
    { tags: ['F15'] },
    async (point) => {
      const at = await place();
      const told = await heldAt(at, { at: point }, () => members().stepDown());
      await expectDone(at, told);
    },
  );

  describe('a primary that is lost to a rollback at', () => {
    const BACK = ['rollback', 'm1', '--workers', '1', '--progress', 'plain', '--json'];
    const stepDown = async (): Promise<{ readonly back: Back }> => {
      await members().stepDown();
      return { back: Promise.resolve() };
    };
    const CASES = [
      ['rollback:after-data', 'stepped down', stepDown],
      ['rollback:after-audit', 'killed', killPrimary],
      ['rollback:before-commit', 'killed', killPrimary],
    ] as const;
    test.each(matrix(CASES))(
      '%s, %s, costs a batch that is redone',
      { tags: ['F15', 'P3'] },
      async (point, _how, lose) => {
        const at = await place();
        expect((await runCommand(RUN, at)).code).toBe(0);
        let back: Back = Promise.resolve();
        const told = await heldAt(at, { at: point, args: BACK }, async () => {
          ({ back } = await lose());
        });
        await back;
        expect([told.code, told.json], told.stderr).toMatchObject([0, { state: 'rolled-back', restored: COUNT }]);
        await members().whole();
        await expectWhole(at.db);
        expect(await hashOf(at.db, 'people')).toBe(twin().before);
      },
    );
  });

  describe('a primary that is killed at', () => {
    test.each(matrix(['batch:before-commit', 'batch:after-audit']))(
      '%s is waited for until there is another one',
      { tags: ['F16', 'P3', 'P5'] },
      async (point) => {
        const at = await place();
        let back: Back = Promise.resolve();
        const told = await heldAt(at, { at: point }, async () => {
          ({ back } = await killPrimary());
        });
        await back;
        await expectDone(at, told);
      },
    );
  });

  describe('a commit without an answer', () => {
    /** Batches that are committed, as `level` has it. */
    const committed = async ({ db }: Place, level: 'local' | 'majority'): Promise<number> => {
      const chunks = db.collection<{ seq: number }>('migrations_chunks', { readConcern: { level } });
      return (await chunks.find().toArray()).reduce((sum, { seq }) => sum + seq, 0);
    };

    test('that was carried out is not carried out again', { tags: ['F17', 'P3', 'P5'] }, async () => {
      const at = await place();
      const primary = await members().primary();
      const others = await members().secondaries();
      let back: Back = Promise.resolve();
      const told = await heldAt(at, { at: 'batch:before-commit' }, async () => {
        const hold = { commands: ['commitTransaction'] };
        await members().failPoint(primary, 'waitAfterCommandFinishesExecution', 'alwaysOn', hold);
        // The driver asks the next primary once by itself: that answer is lost, too.
        const lose = { failCommands: ['commitTransaction'], closeConnection: true, appName: 'godwit' };
        for (const other of others) await members().failPoint(other, 'failCommand', { times: 1 }, lose);
        const before = await committed(at, 'majority');
        const die = async (): Promise<void> => {
          await until(async () => (await committed(at, 'majority')) > before);
          await (await killPrimary()).back;
        };
        back = die();
      });
      await back;
      for (const other of others) await members().failPoint(other, 'failCommand', 'off');
      expect(told.stderr).not.toMatch(/redone/);
      expect(told.stderr).toMatch(/result of a commit was unknown; resolved: committed/);
      await expectDone(at, told);
    });

    test('that was lost with its primary is redone', { tags: ['F17', 'P3', 'P5'] }, async () => {
      const at = await place();
      const others = await members().secondaries();
      let back: Back = Promise.resolve();
      const told = await heldAt(at, { at: 'batch:before-commit' }, async () => {
        await members().setReplication(others, false);
        const before = await committed(at, 'local');
        const die = async (): Promise<void> => {
          // On the primary it is there, and nowhere else.
          await until(async () => (await committed(at, 'local')) > before);
          const primary = await members().primary();
          await members().kill(primary);
          await members().setReplication(others, true);
          // Not before there is another one: that would fetch from it what it has missed.
          await members().primary();
          await members().restart(primary);
        };
        back = die();
      });
      await back;
      // Where the driver has asked the new primary by itself, the first answer is one.
      expect(told.stderr).toMatch(/result of a commit was unknown; resolved: not committed|code 251/);
      await expectDone(at, told);
    });

    test('while no other member hears of it is waited for', { tags: ['F19', 'P3'] }, async () => {
      const at = await place();
      const primary = await members().primary();
      const others = await members().secondaries();
      let back: Back = Promise.resolve();
      const told = await heldAt(at, { at: 'batch:before-commit', env: SILENT_FOR_5_S }, async () => {
        await members().setReplication(others, false);
        const before = await commitsAskedOf(primary);
        const hear = async (): Promise<void> => {
          // Asked for again: the first answer was none.
          await until(async () => (await commitsAskedOf(primary)) >= before + 2);
          await members().setReplication(others, true);
        };
        back = hear();
      });
      await back;
      await expectDone(at, told);
    });
  });

  test('a write of the application that its failover takes back takes the batch with it', {
    tags: ['F24'],
  }, async () => {
    const at = await place();
    const primary = await members().primary();
    const others = await members().secondaries();
    let back: Back = Promise.resolve();
    const told = await heldAt(at, { at: 'batch:before-read', env: SILENT_FOR_5_S }, async () => {
      await members().setReplication(others, false);
      await unheard(at, others);
      const people = at.db.collection<{ _id: number }>('people', { writeConcern: { w: 1 } });
      await people.updateOne({ _id: 45 }, { $set: { doomed: true } });
      const before = await commitsAskedOf(primary);
      const die = async (): Promise<void> => {
        // The batch has read it, and waits for a majority.
        await until(async () => (await commitsAskedOf(primary)) > before);
        await members().kill(primary);
        await members().setReplication(others, true);
        await members().primary(); // as above
        await members().restart(primary);
      };
      back = die();
    });
    await back;
    await members().whole();
    expect(await at.db.collection('people').countDocuments({ doomed: true })).toBe(0);
    await expectDone(at, told);
  });

  test('a set without a primary is waited for', { tags: ['F18', 'P3'] }, async () => {
    const at = await place();
    let back: Back = Promise.resolve();
    const told = await heldAt(at, { at: 'batch:after-data' }, async (stderr) => {
      // Two of three die; the one that is left elects nobody.
      const [primary, [other = 0]] = [await members().primary(), await members().secondaries()];
      for (const member of [primary, other]) await members().kill(member);
      const comeBack = async (): Promise<void> => {
        // What it says when it has looked for one in vain, for 5 s.
        await until(() => /requests cannot be read/.test(stderr()));
        await Promise.all([primary, other].map((member) => members().restart(member)));
      };
      back = comeBack();
    });
    await back;
    expect(told.stderr).toMatch(/a primary, or a majority, is missing|connection lost, reconnecting/);
    expect(told.stderr).not.toMatch(/change stream ended/);
    await expectDone(at, told);
  });
});
