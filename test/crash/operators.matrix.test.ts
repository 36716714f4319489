/** What operators do to the target, the rights and the operations of a run under way. */
import type { Document } from 'mongodb';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { openTransactions } from '../support/observe.js';
import { killLeftovers } from '../support/process.js';
import { useScratch } from '../support/scratch.js';
import { useSharedMembers } from '../support/servers.js';
import { matrix } from '../support/tiers.js';
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

describe('a run under way', () => {
  const members = useSharedMembers('one');
  const scratch = useScratch('oper', () => members().server.uri);
  const admin = (command: Document): Promise<Document> => members().command(0, command);
  afterAll(killLeftovers);

  const place = (): Promise<Place> => prepare(scratch.make());
  let twin: Twin;
  beforeAll(async () => {
    twin = await runTwin(await place());
  });

  async function expectDone(at: Place, told: Told): Promise<void> {
    expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
    await expectAsUndisturbed(at, twin);
  }

  async function expectResumes(at: Place, insertsKnown = true): Promise<void> {
    const { code, json } = await runJson(RUN.slice(0, -1), at);
    expect([code, json['state'] ?? json]).toEqual([0, 'completed']);
    await expectAsUndisturbed(at, twin, insertsKnown);
  }

  describe('whose target is', () => {
    const POINTS = ['batch:after-read', 'batch:before-read'];

    test.each(matrix(POINTS))(
      'dropped at %s never completes, and its audit stays',
      { tags: ['F28', 'P10'] },
      async (point) => {
        const at = await place();
        // It waits for the open transaction, where there is one.
        let dropped: Promise<unknown> = Promise.resolve();
        const told = await heldAt(at, { at: point }, async () => {
          dropped = at.db.dropCollection('people');
        });
        await dropped;
        await expectEnded(at, told, 'GODWIT_TARGET_REPLACED');
        expect(await audited(at.db)).toBeGreaterThanOrEqual(40);
      },
    );

    test.each(matrix(POINTS))(
      'dropped and made again at %s is not written to',
      { tags: ['F28', 'P2'] },
      async (point) => {
        const at = await place();
        let made: Promise<unknown> = Promise.resolve();
        const told = await heldAt(at, { at: point }, async () => {
          made = at.db.dropCollection('people').then(() => prepareAgain(at));
        });
        await made;
        await expectEnded(at, told, 'GODWIT_TARGET_REPLACED');
        expect(await at.db.collection('people').countDocuments({ mark: { $exists: true } })).toBe(0);
        const again = await runJson(RUN.slice(0, -1), at);
        expect(again).toMatchObject({ code: 1, json: { error: { code: 'GODWIT_TARGET_REPLACED' } } });
      },
    );

    const prepareAgain = ({ db }: Place): Promise<unknown> =>
      db
        .collection<{ _id: number }>('people')
        .insertMany(Array.from({ length: COUNT }, (_, _id) => ({ _id, n: _id, tail: { deep: [_id] } })));

    test.each(matrix(POINTS))('renamed at %s goes on once it is back', { tags: ['F29', 'P2', 'P7'] }, async (point) => {
      const at = await place();
      let renamed: Promise<unknown> = Promise.resolve();
      const told = await heldAt(at, { at: point }, async () => {
        renamed = at.db
          .renameCollection('people', 'people_old')
          .then(() => at.db.collection('people').insertOne({ impostor: true }));
      });
      await renamed;
      await expectEnded(at, told, 'GODWIT_TARGET_REPLACED');
      expect(await at.db.collection('people').countDocuments({ mark: { $exists: true } })).toBe(0);
      await at.db.dropCollection('people');
      await at.db.renameCollection('people_old', 'people');
      // What was written under the other name, the stream has not told.
      await expectResumes(at, false);
    });
  });

  describe('beside which', () => {
    test.each(matrix(['batch:after-data', 'batch:before-read']))(
      'an index is built and one of the audit dropped at %s goes on, and finds its own index again',
      { tags: ['F30', 'P3'] },
      async (point) => {
        const at = await place();
        let built: Promise<unknown> = Promise.resolve();
        const told = await heldAt(at, { at: point }, async () => {
          built = Promise.all([
            at.db.collection('people').createIndex({ n: 1 }),
            at.db.collection('migrations_audit').dropIndex('documents'),
          ]);
        });
        await built;
        expect(told.code, told.stderr).toBe(0);
        await expectAsUndisturbed(at, twin);
        await runCommand(RUN, at);
        const names = (await at.db.collection('migrations_audit').indexes()).map(({ name }) => name);
        expect(names).toContain('documents');
      },
    );

    const BUDGETS = [
      ['GODWIT_DUPLICATE', [], 1],
      [null, ['--max-failures', '10'], 4],
    ] as const;
    test.each(matrix(BUDGETS))(
      'a unique index comes that it would break ends with %s',
      {
        tags: ['F30', 'P10'],
      },
      async (code, more, exit) => {
        // The last two become equal.
        const at = await prepare(scratch.make(), '(doc) => ({ ...doc, key: doc._id === 119 ? 118 : doc._id })');
        const args = [...RUN, ...more];
        const told = await heldAt(at, { at: 'batch:before-read', args }, () =>
          at.db.collection('people').createIndex({ key: 1 }, { unique: true, sparse: true }),
        );
        if (code) await expectEnded(at, told, code);
        else expect([told.code, told.json['failed']], told.stderr).toEqual([exit, 1]);
        expect(await at.db.collection('migrations_failures').distinct('code')).toEqual(['GODWIT_DUPLICATE']);
      },
    );

    test.each(matrix(['batch:after-read', 'batch:before-read']))(
      'a validator comes at %s that refuses half of the rest ends with the rule, and goes on without it',
      { tags: ['F31', 'P7'] },
      async (point) => {
        const at = await place();
        let ruled: Promise<unknown> = Promise.resolve();
        const told = await heldAt(at, { at: point }, async () => {
          ruled = at.db.command({
            collMod: 'people',
            validator: { $or: [{ mark: { $exists: false } }, { n: { $mod: [2, 0] } }] },
          });
        });
        await ruled;
        await expectEnded(at, told, 'GODWIT_VALIDATION');
        await at.db.command({ collMod: 'people', validator: {} });
        const retried = await runJson(['retry', 'm1', '--batch-size', '20'], at);
        expect([retried.code, retried.json['state'] ?? retried.json]).toEqual([0, 'completed']);
        await expectAsUndisturbed(at, twin);
      },
    );

    test('a validator comes that only warns goes on', { tags: ['F31'] }, async () => {
      const at = await place();
      const told = await heldAt(at, { at: 'batch:before-read' }, () =>
        at.db.command({ collMod: 'people', validator: { mark: { $exists: false } }, validationAction: 'warn' }),
      );
      await expectDone(at, told);
    });

    test('more is written than an event holds, and much in one transaction, catches up with all of it', {
      tags: ['F37', 'F48', 'P7'],
    }, async () => {
      const at = await place();
      const people = at.db.collection<{ _id: number; big?: string }>('people');
      const args = [...RUN, '--batch-size', '500'];
      const told = await heldAt(at, { at: 'batch:after-commit:1', args }, async () => {
        // Two times 9 MB, with the document that the second one changes: more than 16 MiB.
        for (const letter of ['a', 'b'])
          await people.updateOne({ _id: 3 }, { $set: { big: letter.repeat(9_000_000) }, $unset: { mark: '' } });
        await at.db.client.withSession((session) =>
          session.withTransaction(async () => {
            await people.updateMany({ _id: { $gte: 60 } }, { $unset: { mark: '' } }, { session });
            const more = Array.from({ length: 2_000 }, (_, n) => ({ _id: 1_000 + n }));
            await people.insertMany(more, { session });
          }),
        );
      });
      expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
      expect(told.stderr).not.toMatch(/change stream ended/);
      expect(await people.countDocuments({ mark: 'x' })).toBe(COUNT + 2_000);
      expect(await people.countDocuments({ big: /^b/ })).toBe(1);
      await expectWhole(at.db);
    });
  });

  describe('whose transaction', () => {
    afterEach(async () => {
      await members().failPoint(0, 'failCommand', 'off');
      await admin({ setParameter: 1, transactionLifetimeLimitSeconds: 60 });
      await admin({ setFeatureCompatibilityVersion: '6.0' });
    });

    const failing = (at: Place, errorCode: number, mode: Document | string, command = 'update'): Promise<void> =>
      members().failPoint(0, 'failCommand', mode, {
        failCommands: [command],
        namespace: `${at.db.databaseName}.people`,
        errorCode,
        failInternalCommands: false,
      });

    test.each(matrix([365, 388, 112, 24]))(
      'fails with %s in a third of its updates comes to its end',
      {
        tags: ['F34', 'P3'],
      },
      async (code) => {
        const at = await place();
        const told = await heldAt(at, { at: 'batch:before-read:1' }, () =>
          failing(at, code, { activationProbability: 0.33 }),
        );
        await members().failPoint(0, 'failCommand', 'off');
        await expectDone(at, told);
      },
    );

    test.each(matrix([11601, 50]))(
      'is interrupted by %s three times is redone',
      { tags: ['F35', 'P3'] },
      async (code) => {
        const at = await place();
        const told = await heldAt(at, { at: 'batch:before-read' }, () => failing(at, code, { times: 3 }, 'find'));
        expect(told.stderr).toMatch(new RegExp(`code ${code}`));
        await expectDone(at, told);
      },
    );

    test('is interrupted again and again by somebody ends the run at the fifth time', {
      tags: ['F35', 'P10'],
    }, async () => {
      const at = await place();
      const told = await heldAt(at, { at: 'batch:before-read' }, () => failing(at, 11601, 'alwaysOn', 'find'));
      await members().failPoint(0, 'failCommand', 'off');
      expect((told.json['error'] as { message: string }).message).toMatch(/11601\) 5 times/);
      await expectEnded(at, told, 'GODWIT_CONFLICTS');
      await expectResumes(at);
    });

    test('has a commit that is refused for good leaves nothing open behind its end', {
      tags: ['F26', 'P12'],
    }, async () => {
      const at = await place();
      const data = { failCommands: ['commitTransaction'], errorCode: 13, appName: 'godwit' };
      const told = await heldAt(at, { at: 'batch:before-commit' }, () =>
        members().failPoint(0, 'failCommand', 'alwaysOn', data),
      );
      await members().failPoint(0, 'failCommand', 'off');
      expect(await openTransactions(at.db)).toBe(0);
      await expectEnded(at, told, 'GODWIT_FORBIDDEN');
      await expectResumes(at);
    });

    test.each(matrix(['close', '91']))(
      'loses its connections to %s, pool and all, is redone',
      {
        tags: ['F22'],
      },
      async (how) => {
        const at = await place();
        const told = await heldAt(at, { at: 'batch:before-read' }, () =>
          members().failPoint(
            0,
            'failCommand',
            { times: 3 },
            {
              failCommands: ['find', 'update', 'insert'],
              appName: 'godwit',
              ...(how === 'close' ? { closeConnection: true } : { errorCode: Number(how) }),
            },
          ),
        );
        await expectDone(at, told);
      },
    );

    test('is killed with all sessions at batch:before-commit is redone', { tags: ['F35', 'P3'] }, async () => {
      const at = await place();
      const told = await heldAt(at, { at: 'batch:before-commit' }, () => admin({ killAllSessions: [] }));
      await expectDone(at, told);
    });

    test('lasts longer than the server allows is redone in smaller pieces', { tags: ['F33', 'P3'] }, async () => {
      const at = await place();
      await admin({ setParameter: 1, transactionLifetimeLimitSeconds: 1 });
      const told = await heldAt(at, { at: 'batch:after-read' }, async () => {
        await until(async () => (await openTransactions(at.db)) === 0);
        await admin({ setParameter: 1, transactionLifetimeLimitSeconds: 60 });
      });
      expect(told.stderr).toMatch(/after \d+\.\d s \(code 251.*at most 10 documents/);
      await expectDone(at, told);
    });

    test('is ended by a change of the FCV at batch:after-data is redone', { tags: ['F39', 'P3'] }, async () => {
      const at = await place();
      const told = await heldAt(at, { at: 'batch:after-data' }, async () => {
        await admin({ setFeatureCompatibilityVersion: '5.0' });
        await admin({ setFeatureCompatibilityVersion: '6.0' });
      });
      await expectDone(at, told);
    });

    test('finds a server that works as an older one says so', { tags: ['F39', 'P10'] }, async () => {
      const at = await place();
      const told = await heldAt(at, { at: 'batch:after-data' }, () => admin({ setFeatureCompatibilityVersion: '5.0' }));
      await expectEnded(at, told, 'GODWIT_SERVER_VERSION', 2);
      await admin({ setFeatureCompatibilityVersion: '6.0' });
      await expectResumes(at);
    });
  });
});
