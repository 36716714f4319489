/** Servers that come back as others, and oplogs that are too small. */
import { cp } from 'node:fs/promises';
import type { Timestamp } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { makeMigration } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { useMembers } from '../support/servers.js';
import { errorCode, expectEnded, heldAt, type Place, prepare, processHeldAt, RUN } from '../support/trouble.js';
import { expectPassesOver, fillWithNoise, QUIET, UNRENEWED, useServer, useSmallDisk } from './servers.js';

describe('a server', () => {
  const { members, scratch, expectResumes, itself } = useServer();

  test('that comes back with a copy from before the run is not worked on', { tags: ['F38'] }, async () => {
    const at = await prepare(scratch.make());
    const copy = await members().emptyFolder();
    await members().kill(0);
    await cp(members().server.members[0]?.dbPath ?? '', copy, { recursive: true });
    await members().restart(0);
    await members().whole();
    const told = await processHeldAt(at, { at: 'batch:after-data', env: UNRENEWED }, async () => {
      await members().kill(0);
      await members().restart(0, { dbPath: copy });
      await members().whole();
    });
    expect([told.code, errorCode(told)]).toEqual([1, 'GODWIT_STATE_LOST']);
    expect(await at.db.collection('people').countDocuments({ mark: { $exists: true } })).toBe(0);
    expect(await at.db.collection('migrations').countDocuments()).toBe(0);
    await itself();
    await expectResumes(at);
  });

  test('that comes back as a standalone is not worked on', { tags: ['F39'] }, async () => {
    const at = await prepare(scratch.make());
    const told = await processHeldAt(at, { at: 'batch:after-data', env: UNRENEWED }, async () => {
      await members().kill(0);
      await members().restart(0, { isStandalone: true });
    });
    expect([told.code, errorCode(told)], told.stderr).toEqual([1, 'GODWIT_OTHER_SERVER']);
    const refused = await runJson(QUIET, at);
    expect([refused.code, errorCode(refused)]).toEqual([2, 'GODWIT_STANDALONE']);
    await itself();
    await expectResumes(at);
  });
});

describe('a server with a small oplog', () => {
  const members = useMembers({ args: ['--oplogSize', '16', '--syncdelay', '1'] });
  const scratch = useScratch('oplog', () => members().server.uri);

  /** Writes elsewhere until nothing is left of what the oplog held. */
  async function rollOver({ db }: Place): Promise<void> {
    const oplog = db.client.db('local').collection('oplog.rs');
    const [last] = await oplog.find().sort({ $natural: -1 }).limit(1).toArray();
    const filler = Buffer.alloc(1024 * 1024, 'x');
    await until(async () => {
      await db.collection('others').insertMany(Array.from({ length: 8 }, () => ({ filler })));
      const [first] = await oplog.find().sort({ $natural: 1 }).limit(1).toArray();
      return first !== undefined && (first['ts'] as Timestamp).greaterThan(last?.['ts'] as Timestamp);
    }, 60_000);
  }

  test('that has rolled over what the stream had still to read costs passes over everything', {
    tags: ['F36', 'P7'],
  }, async () => {
    const at = await prepare(scratch.make());
    const people = at.db.collection<{ _id: number; n: number }>('people');
    expect((await runCommand([...RUN, '--limit', '60'], at)).code).toBe(7);
    await people.insertOne({ _id: -1, n: 1 });
    await people.updateOne({ _id: 3 }, [{ $unset: 'mark' }]);
    await rollOver(at);
    await expectPassesOver(at);
  });
});

describe('a server with too small an oplog', () => {
  const members = useMembers({ args: ['--oplogSize', '16'] });
  const scratch = useScratch('room', () => members().server.uri);

  test('is told before anything is written, with the figures; a canary fits, and so does who insists', async () => {
    const { db, uri } = scratch.make();
    const at = { db, uri, cwd: await makeMigration('(doc) => ({ ...doc, copy: doc.noise })') };
    await fillWithNoise(at);
    const { code, json } = await runJson(['run', 'm1'], at);
    expect([code, json['error']]).toMatchObject([3, { code: 'GODWIT_NO_ROOM', details: { oplogLimitBytes: 2 ** 23 } }]);
    const { message, details } = json['error'] as { message: string; details: { oplogBytes: number } };
    expect(message).toMatch(/the oplog takes about \d+\.\d MiB, and half of it is 8\.0 MiB/);
    expect(await db.collection('migrations').countDocuments()).toBe(0);
    expect((await runCommand([...RUN, '--limit', '10'], at)).code).toBe(7);
    expect((await runJson(['run', 'm1'], at)).json['error']).toMatchObject({ code: 'GODWIT_NO_ROOM' });

    const oplog = db.client.db('local').collection('oplog.rs');
    const [last] = await oplog.find().sort({ $natural: -1 }).limit(1).toArray();
    const insisting = await runCommand(RUN, { ...at, env: { GODWIT_ROOM: 'warn' } });
    expect([insisting.code, insisting.stderr]).toEqual([0, expect.stringContaining('it may not fit')]);
    const sizes = [
      { $match: { ts: { $gt: last?.['ts'] } } },
      { $group: { _id: null, bytes: { $sum: { $bsonSize: '$$ROOT' } } } },
    ];
    const [written] = await oplog.aggregate(sizes).toArray();
    // Projected from a sample, and before 10 of 400 documents were done.
    expect(Number(written?.['bytes']) / details.oplogBytes).toBeGreaterThan(0.7);
    expect(Number(written?.['bytes']) / details.oplogBytes).toBeLessThan(1.3);

    // Rolled back, it is a whole run again.
    expect((await runJson(['rollback', 'm1'], at)).code).toBe(0);
    expect((await runJson(['run', 'm1'], at)).json['error']).toMatchObject({ code: 'GODWIT_NO_ROOM' });
  });
});

describe('a server without room', () => {
  const disk = useSmallDisk();

  test('for longer than it is waited for ends the run, and nothing is lost when it has room again', {
    tags: ['F25', 'P3', 'P5'],
    timeout: 150_000,
  }, async () => {
    const at = await disk.place();
    const env = { GODWIT_OUTAGE_MS: '1000' };
    // A whole disk is written, and an outage waited for.
    let dead: Promise<void> = Promise.resolve();
    const told = await heldAt(at, { at: 'batch:before-read', env, hangsMs: 100_000 }, async () => {
      await disk.fill();
      dead = disk.ends(at);
    });
    await dead;
    await disk.comeBack();
    await expectEnded(at, told, 'GODWIT_NO_PRIMARY');
    expect(await audited(at.db)).toBeGreaterThan(0);
    expect((await runJson(QUIET, at)).json).toMatchObject({ state: 'completed' });
    expect((await runJson(['rollback', 'm1'], at)).json).toMatchObject({ state: 'rolled-back', conflicts: 0 });
    expect(await hashOf(at.db, 'people')).toBe(at.before);
  });
});
