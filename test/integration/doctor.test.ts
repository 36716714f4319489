import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type EmbeddedServer, startEmbedded } from '../../src/embedded/start.js';
import { missingActions } from '../../src/mongo/privileges.js';
import { doctor, judgeClock, judgeNode, judgeRoundTrip, judgeServer } from '../../src/verbs/doctor.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { useAuthServer } from '../support/auth-server.js';

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'godwit-doctor-'));
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

const READS =
  /^(hello|ping|buildInfo|getParameter|connectionStatus|listCollections|collStats|dbStats|find|getMore|endSessions|saslStart|saslContinue|replSetGetConfig)$/;

/** The diagnosis, its checks by name, and the commands that it sent. */
async function diagnose(uri: string, db: string) {
  const commands: string[] = [];
  const session = await openSession({ cwd, env: {}, uri, db, onCommand: (name) => commands.push(name) });
  try {
    const result = await doctor(session);
    return { ...result, commands, by: Object.fromEntries(result.checks.map((check) => [check.name, check])) };
  } finally {
    await closeSession(session);
  }
}

describe('doctor on a replica set without access control', () => {
  it('finds everything in order on a database that is still empty, and only reads', async () => {
    const { ok, checks, by, commands } = await diagnose(inject('mongoUri'), 'doctor_open');
    expect(checks.filter((check) => check.ok !== true)).toEqual([]);
    expect(ok).toBe(true);
    expect(by['topology']?.found).toMatch(/^replica set of \d: /);
    expect(by['rights']?.found).toContain('access control is off');
    expect(by['state']?.found).toContain('none yet');
    expect(by['transaction-lifetime']?.found).toMatch(/^60 s: .* after 60 to 90 s/);
    expect(by['disk']?.found).toMatch(/GiB free of/);
    expect(by['oplog']?.found).toMatch(/^spans /);
    expect(commands.filter((name) => !READS.test(name))).toEqual([]);
  });
});

describe('doctor on a server with access control', () => {
  const server = useAuthServer();
  // Users are of a database: other files are at the same server.
  const crm = `doctor_${randomBytes(4).toString('hex')}`;
  const uris: Record<string, string> = {};
  beforeAll(async () => {
    await using client = await new MongoClient(server.rootUri()).connect();
    const db = client.db(crm);
    await db.collection('contacts').insertOne({ name: 'x' });
    uris['app'] = await server.addUser(crm, 'app', 'secret', 'readWrite');
    uris['reader'] = await server.addUser(crm, 'reader', 'secret', 'read');
    const actions = ['find', 'insert', 'update', 'remove', 'createCollection', 'createIndex', 'killCursors'];
    const privileges = [
      { resource: { db: crm, collection: 'contacts' }, actions },
      { resource: { db: crm, collection: 'migrations' }, actions: ['find'] },
      { resource: { db: crm, collection: '' }, actions: ['listCollections'] },
    ];
    await db.command({ createRole: 'contactsOnly', privileges, roles: [] });
    uris['narrow'] = await server.addUser(crm, 'narrow', 'secret', 'contactsOnly');
  });
  const as = (user: string) => diagnose(uris[user] ?? '', crm);

  it('is content with readWrite on the database, and says what that user cannot see', async () => {
    const { ok, by } = await as('app');
    expect(by['user']).toMatchObject({ ok: true, found: `app@${crm}: readWrite@${crm}` });
    expect(by['rights']).toEqual({ name: 'rights', ok: true, found: `all that a run needs on ${crm}` });
    for (const name of ['transaction-lifetime', 'feature-compatibility', 'oplog'])
      expect(by[name], name).toMatchObject({ ok: null, next: expect.stringContaining('clusterMonitor') as unknown });
    expect(by['disk']?.ok).toBe(true);
    expect(ok).toBe(true);
  });

  it('sees everything as root', async () => {
    const { checks } = await diagnose(server.rootUri(), crm);
    expect(checks.filter((check) => check.ok !== true)).toEqual([]);
  });

  it('names the rights that a reader lacks, and how to give them', async () => {
    const { ok, by } = await as('reader');
    expect(by['rights']).toMatchObject({
      ok: false,
      found: `missing on ${crm}: insert, update, remove, createCollection, createIndex`,
      next: expect.stringContaining(`{ role: 'readWrite', db: '${crm}' }`) as unknown,
    });
    expect(ok).toBe(false);
  });

  it('does not judge rights on single collections', async () => {
    const { by } = await as('narrow');
    expect(by['rights']).toMatchObject({ ok: null, found: `on ${crm} only these collections: contacts` });
  });
});

describe('doctor on a standalone server', () => {
  let server: EmbeddedServer;
  beforeAll(async () => {
    server = await startEmbedded({ replicaSet: false });
  });
  afterAll(() => server?.stop());

  it('says how it becomes a replica set, and still answers the rest', async () => {
    const { ok, by } = await diagnose(server.uri, 'crm');
    expect(ok).toBe(false);
    expect(by['topology']?.ok).toBe(false);
    expect(by['topology']?.next?.split('\n')).toEqual([
      expect.stringContaining('--replSet rs0'),
      expect.stringContaining('rs.initiate('),
    ]);
    expect(by['oplog']?.ok).toBeNull();
    expect(by['replica-set']?.ok).toBeNull();
    expect(by['primary']?.ok).toBe(true);
  });
});

describe("doctor's judgement", () => {
  it('allows clocks 2 s apart, and says which is behind', () => {
    expect(judgeClock(2_000).ok).toBe(true);
    expect(judgeClock(-2_000).ok).toBe(true);
    expect(judgeClock(-7_200_000)).toMatchObject({
      ok: false,
      found: "this machine's clock is 2h 00m behind the server's",
    });
    expect(judgeClock(3_000).found).toBe("this machine's clock is 3.0s ahead of the server's");
  });

  it('wants Node 20.19 and MongoDB 5.0', () => {
    expect([judgeNode('20.18.9').ok, judgeNode('20.19.0').ok, judgeNode('24.1.0').ok]).toEqual([false, true, true]);
    expect([judgeServer('4.4.29').ok, judgeServer('5.0.32').ok, judgeServer('6.0.5').ok]).toEqual([false, false, true]);
    expect(judgeServer('8.0.0-rc1').found).toBe('8.0.0-rc1 (tests run on 6.0.5)');
  });

  it('says what a slow network costs', () => {
    expect(judgeRoundTrip(0.42).found).toBe('0.4 ms (median of 5)');
    expect(judgeRoundTrip(200).found).toContain('holds its documents for 400 ms');
  });

  it('counts rights of any database and any resource', () => {
    const actions = ['find', 'insert', 'update', 'remove', 'createCollection', 'createIndex', 'killCursors'];
    expect(missingActions([{ resource: { db: '', collection: '' }, actions }], 'crm')).toEqual([]);
    expect(missingActions([{ resource: { anyResource: true }, actions }], 'crm')).toEqual([]);
    expect(missingActions([{ resource: { db: 'crm', collection: 'contacts' }, actions }], 'crm')).toEqual(actions);
    expect(missingActions([{ resource: { db: 'other', collection: '' }, actions }], 'crm')).toEqual(actions);
    expect(missingActions([{ resource: {}, actions }], 'crm')).toEqual(actions);
  });
});
