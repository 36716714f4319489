/** Elections that take their time, on a set of three. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoError } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { rawDocuments } from '../../src/mongo/raw-documents.js';
import { runCommand } from '../support/command.js';
import { COUNT, errorCode, expectAsUndisturbed, heldAt, RUN } from '../support/trouble.js';
import { type Back, SILENT_FOR_5_S, useElections } from './elections.js';

/** For how long who has stepped down may not be elected again, and somewhat more, in ms. */
const NO_PRIMARY_MS = 6_000;

describe('on a replica set of three', () => {
  const { members, twin, place, expectDone, unheard } = useElections();

  test('a set that loses a member and gets it back goes on', { tags: ['F39'] }, async () => {
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

  test('a plan whose freezing nobody confirmed is there with its chunks, or not at all', {
    tags: ['F19'],
  }, async () => {
    const at = await place();
    const others = await members().secondaries();
    let back: Back = Promise.resolve();
    // The insert of the run is asked for twice, for 5 s each: then nobody knows.
    const told = await heldAt(at, { at: 'plan:before-freeze:1', env: SILENT_FOR_5_S }, async () => {
      await members().setReplication(others, false);
      await unheard(at, others);
      back = sleep(14_000).then(() => members().setReplication(others, true));
    });
    await back;
    await members().whole();
    if (told.code !== 0) expect([told.code, errorCode(told)], told.stderr).toEqual([1, 'GODWIT_NO_PRIMARY']);
    const again = await runCommand(RUN, at);
    expect(again.code, again.stderr).toBe(0);
    await expectAsUndisturbed(at, twin());
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
});
