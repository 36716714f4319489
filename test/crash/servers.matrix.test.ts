/** Servers that die, come back empty, have no room, or forget in the middle of a run. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Db, MongoClient } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { until } from '../support/crash.js';
import { hashOf } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';
import { errorCode, expectWhole, heldAt, prepare, processHeldAt, RUN } from '../support/trouble.js';
import { expectPassesOver, useServer, useSmallDisk } from './servers.js';

/** A token that looks as if its event had been there, at a time when there was none. */
async function tokenOfNoEvent(db: Db): Promise<string> {
  await using stream = db.watch();
  await stream.tryNext();
  await db.collection('others').insertOne({});
  const { _id } = await stream.next();
  return String((_id as { _data: string })._data).replace(/^(82[0-9A-F]{8})[0-9A-F]{8}/i, '$100000000');
}

describe('a server', () => {
  const { members, scratch, expectDone, expectResumes, itself } = useServer();

  const KILLED = ['batch:after-audit:3', 'verify:before-verdict:1'] as const;
  test.each(matrix(KILLED))(
    'that is killed at %s and comes back is waited for',
    { tags: ['F18', 'P3', 'P5'] },
    async (point) => {
      const at = await prepare(scratch.make());
      let back: Promise<void> = Promise.resolve();
      const told = await heldAt(at, { at: point }, async (stderr) => {
        await members().kill(0);
        // What it says when it has looked for a server in vain, for 5 s.
        back = until(() => /cannot be read|waiting for a primary/.test(stderr())).then(() => members().restart(0));
      });
      await back;
      await members().whole();
      expect(told.stderr).not.toMatch(/change stream ended/);
      await expectDone(at, told);
    },
  );

  test('that comes back with another data folder is not worked on', { tags: ['F38', 'P3', 'P7'] }, async () => {
    const at = await prepare(scratch.make());
    const told = await processHeldAt(at, { at: 'batch:after-data' }, async () => {
      await members().kill(0);
      await members().restart(0, { dbPath: await members().emptyFolder() });
      await members().command(0, {
        replSetInitiate: {
          _id: members().server.setName,
          members: [{ _id: 0, host: `127.0.0.1:${members().server.members[0]?.port}` }],
        },
      });
      await members().whole();
    });
    expect([told.code, errorCode(told)]).toEqual([1, 'GODWIT_OTHER_SERVER']);
    await using other = await new MongoClient(at.uri).connect();
    expect(await other.db(at.db.databaseName).listCollections().toArray()).toEqual([]);
    await itself();
    await expectResumes(at);
  });

  test('that no longer holds the history of the change stream costs passes over everything', {
    tags: ['F36', 'P7'],
  }, async () => {
    const at = await prepare(scratch.make());
    const people = at.db.collection<{ _id: number; n: number }>('people');
    expect((await runCommand([...RUN, '--limit', '60'], at)).code).toBe(7);
    const gone = await tokenOfNoEvent(at.db);
    // What follows must come after it: it is the last moment of its second.
    await sleep(1_100);
    await people.insertOne({ _id: -1, n: 1 });
    await people.updateOne({ _id: 3 }, [{ $unset: 'mark' }]);
    await at.db.collection('migrations').updateOne({}, { $set: { 'stream.token': { _data: gone } } });
    await expectPassesOver(at);
  });
});

describe('a server without room', () => {
  const disk = useSmallDisk();

  test('ends by itself; a run waits for it, and nothing is lost', { tags: ['F25', 'P3', 'P5'] }, async () => {
    const at = await disk.place();
    let back: Promise<void> = Promise.resolve();
    const told = await heldAt(at, { at: 'batch:after-audit', hangsMs: 100_000 }, async () => {
      await disk.fill();
      await disk.ends(at);
      back = disk.comeBack();
    });
    await back;
    expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
    expect(told.stderr).toMatch(/code 251|connection lost|a primary, or a majority, is missing/);
    await expectWhole(at.db);
    const { code, json } = await runJson(['rollback', 'm1'], at);
    expect([code, json]).toMatchObject([0, { state: 'rolled-back', conflicts: 0, identical: true }]);
    expect(await hashOf(at.db, 'people')).toBe(at.before);
  });
});
