/** Servers that die, come back empty, have no room, forget, or refuse the user in the middle of a run. */
import { randomBytes } from 'node:crypto';
import { cp } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Db, MongoClient, type Timestamp } from 'mongodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { killLeftovers } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { useMembers, useSharedMembers } from '../support/servers.js';
import {
  COUNT,
  errorCode,
  expectAsUndisturbed,
  expectEnded,
  heldAt,
  type Place,
  prepare,
  RUN,
  runTwin,
  type Told,
  type Twin,
} from '../support/trouble.js';

const QUIET = RUN.slice(0, -1);

async function expectResumes(at: Place, twin: Twin): Promise<void> {
  const { code, json } = await runJson(QUIET, at);
  expect([code, json['state'] ?? json]).toEqual([0, 'completed']);
  await expectAsUndisturbed(at, twin);
}

/** The run says that its stream cannot tell, and finds the document that came meanwhile, and the one that was edited. */
async function expectPassesOver(at: Place): Promise<void> {
  const { code, json, stderr } = await runJson(QUIET, at);
  expect([code, json['state'] ?? json]).toEqual([0, 'completed']);
  expect(stderr).toMatch(/change stream ended .*history.*checked again at the end/);
  expect(await at.db.collection('people').countDocuments({ mark: 'x' })).toBe(COUNT + 1);
  expect(await brokenInvariants(at.db)).toEqual([]);
}

/** A token that looks as if its event had been there, at a time when there was none. */
async function tokenOfNoEvent(db: Db): Promise<string> {
  await using stream = db.watch();
  await stream.tryNext();
  await db.collection('others').insertOne({});
  const { _id } = await stream.next();
  return String((_id as { _data: string })._data).replace(/^(82[0-9A-F]{8})[0-9A-F]{8}/i, '$100000000');
}

/** A renewal that is overdue when a slow machine wakes the runner would be the first to find that its run is gone. */
const UNRENEWED = { GODWIT_LEASE_MS: '120000' };

describe('a server', () => {
  const members = useSharedMembers('one');
  const scratch = useScratch('server', () => members().server.uri);
  afterAll(killLeftovers);

  let twin: Twin;
  beforeAll(async () => {
    twin = await runTwin(await prepare(scratch.make()));
  });

  async function expectDone(at: Place, told: Told): Promise<void> {
    expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
    await expectAsUndisturbed(at, twin);
  }

  test.each(['batch:after-audit:3', 'verify:before-verdict:1'])(
    'that is killed at %s and comes back after 6 s is waited for',
    async (point) => {
      const at = await prepare(scratch.make());
      let back: Promise<void> = Promise.resolve();
      const told = await heldAt(at, { at: point }, async () => {
        await members().kill(0);
        back = sleep(6_000).then(() => members().restart(0));
      });
      await back;
      await members().whole();
      expect(told.stderr).not.toMatch(/change stream ended/);
      await expectDone(at, told);
    },
  );

  /** The server that it was, with its own data. */
  async function itself(): Promise<void> {
    await members().kill(0);
    await members().restart(0);
    await members().whole();
  }

  test('that comes back with another data folder is not worked on', async () => {
    const at = await prepare(scratch.make());
    const told = await heldAt(at, { at: 'batch:after-data' }, async () => {
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
    await expectResumes(at, twin);
  });

  test('that comes back with a copy from before the run is not worked on', async () => {
    const at = await prepare(scratch.make());
    const copy = await members().emptyFolder();
    await members().kill(0);
    await cp(members().server.members[0]?.dbPath ?? '', copy, { recursive: true });
    await members().restart(0);
    await members().whole();
    const told = await heldAt(at, { at: 'batch:after-data', env: UNRENEWED }, async () => {
      await members().kill(0);
      await members().restart(0, { dbPath: copy });
      await members().whole();
    });
    expect([told.code, errorCode(told)]).toEqual([1, 'GODWIT_STATE_LOST']);
    expect(await at.db.collection('people').countDocuments({ mark: { $exists: true } })).toBe(0);
    expect(await at.db.collection('migrations').countDocuments()).toBe(0);
    await itself();
    await expectResumes(at, twin);
  });

  test('that comes back as a standalone is not worked on', async () => {
    const at = await prepare(scratch.make());
    const told = await heldAt(at, { at: 'batch:after-data', env: UNRENEWED }, async () => {
      await members().kill(0);
      await members().restart(0, { isStandalone: true });
    });
    expect([told.code, errorCode(told)], told.stderr).toEqual([1, 'GODWIT_OTHER_SERVER']);
    const refused = await runJson(QUIET, at);
    expect([refused.code, errorCode(refused)]).toEqual([2, 'GODWIT_STANDALONE']);
    await itself();
    await expectResumes(at, twin);
  });

  test('that no longer holds the history of the change stream costs passes over everything', async () => {
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

  test('that has rolled over what the stream had still to read costs passes over everything', async () => {
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

const fillWithNoise = ({ db }: Pick<Place, 'db'>): Promise<unknown> =>
  db
    .collection<{ _id: number; noise: string }>('people')
    .insertMany(Array.from({ length: 400 }, (_, _id) => ({ _id, noise: noise(40_000) })));

/** What does not compress. */
const noise = (length: number): string => randomBytes(Math.ceil((length * 3) / 4)).toString('base64');

describe('a server without room', () => {
  const members = useMembers({ args: ['--wiredTigerEngineConfigString', 'log=(file_max=8MB)', '--syncdelay', '1'] });
  const scratch = useScratch('full', () => members().server.uri);

  test('ends by itself; nothing is lost when it has room again', async () => {
    const { db, uri } = scratch.make();
    // What does not compress, once more in each document and twice in the audit and the oplog.
    const up = '(doc) => ({ ...doc, copy: doc.noise })';
    const at = { db, uri, cwd: await makeMigration(up) };
    await fillWithNoise(at);
    const before = await hashOf(db, 'people');
    const told = await heldAt(
      at,
      { at: 'batch:before-read:3', env: { GODWIT_OUTAGE_MS: '1000' }, hangsMs: 100_000 },
      () => members().leaveRoom(0, 2 ** 20),
    );
    await members().ended(0);
    await members().restart(0);
    await members().whole();
    await expectEnded(at, told, 'GODWIT_NO_PRIMARY');
    expect(await audited(db)).toBeGreaterThan(0);
    expect((await runJson(QUIET, at)).json).toMatchObject({ state: 'completed' });
    expect((await runJson(['rollback', 'm1'], at)).json).toMatchObject({ state: 'rolled-back', conflicts: 0 });
    expect(await hashOf(db, 'people')).toBe(before);
    // A whole disk is written, and an outage waited for.
  }, 150_000);
});
