import type { Db, MongoClient } from 'mongodb';
import { beforeAll, describe, expect, test } from 'vitest';
import { dryRun } from '../../src/verbs/dry-run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { useAuthServer } from '../support/auth-server.js';
import { runCommand, runJson } from '../support/command.js';
import { makeMigration } from '../support/project.js';
import { expectRefusal } from '../support/refusal.js';
import { everything, type ScratchDatabase, useScratch } from '../support/scratch.js';

/** Commands that a dry run may send: none of them writes. (`aggregate` is looked at closer by the oplog.) */
const READ_ONLY = new Set([
  'hello',
  'buildInfo',
  'find',
  'getMore',
  'killCursors',
  'aggregate',
  'count',
  'distinct',
  'listCollections',
  'listIndexes',
  'replSetGetConfig',
  'connectionStatus',
  'endSessions',
]);

const UP = `(doc, { lookup, reject }) => {
  if (doc.n % 10 === 3) return reject('no');
  if (doc.n % 10 === 4) throw new Error('boom');
  return { ...doc, mail: doc.mail.toLowerCase(), age: doc.n % 7 === 1 ? -1 : doc.n, owner: lookup.owner.get(doc.ownerId)?.name };
}`;
const OPTIONS = `collection: 'people', filter: { n: { $lt: 900 } }, drops: [], lookup: { owner: { from: 'users', localField: 'ownerId', foreignField: '_id' } }`;

async function fill(db: Db): Promise<void> {
  await db
    .collection<{ _id: number; name: string }>('users')
    .insertMany([1, 2].map((_id) => ({ _id, name: `U${_id}` })));
  await db.createCollection('people', { validator: { $jsonSchema: { properties: { age: { minimum: 0 } } } } });
  await db.collection('people').createIndex({ mail: 1 }, { unique: true });
  await db
    .collection('people')
    .insertMany(Array.from({ length: 1_000 }, (_, n) => ({ n, mail: `P${n}@x.test`, ownerId: n % 3 })));
}

/** Databases of other test files, which may be at the same server. */
const OTHERS = /^(t_(?!dry_)|doctor_)/;

/** Hashes of all databases but `local`, which is the log of what was done, and `config`. */
async function allDatabases(client: MongoClient): Promise<Record<string, unknown>> {
  const { databases } = await client.db('admin').admin().listDatabases({ nameOnly: true });
  const names = databases
    .map(({ name }) => name)
    .filter((name) => name !== 'local' && name !== 'config' && !OTHERS.test(name));
  const all = await Promise.all(names.map(async (name) => [name, await everything(client.db(name))] as const));
  // Users and roles of other test files lie in one place for all databases.
  return Object.fromEntries(
    all.map(([name, found]) => [
      name,
      Object.fromEntries(Object.entries(found).filter(([key]) => !/^system\.(users|roles)$/.test(key))),
    ]),
  );
}

/** Number of entries in the oplog that say that something was written. */
const writesLogged = (client: MongoClient): Promise<number> =>
  client
    .db('local')
    .collection('oplog.rs')
    .countDocuments({ op: { $ne: 'n' }, ns: { $not: /^(config|admin|t_(?!dry_)\w+|doctor_\w+)\./ } });

describe('a dry run', () => {
  const server = useAuthServer();
  const scratch = useScratch('dry', () => server.rootUri());
  let at: ScratchDatabase;
  let client: MongoClient;
  let readerUri = '';
  beforeAll(async () => {
    at = scratch.make();
    client = at.db.client;
    await fill(at.db);
    readerUri = await server.addUser(at.name, 'reader', 'secret', 'read');
  });

  test('sends no command that writes, and leaves every database and the oplog as they were', {
    tags: ['P1'],
  }, async () => {
    const before = await allDatabases(client);
    const logged = await writesLogged(client);
    const seen = new Set<string>();
    const cwd = await makeMigration(UP, OPTIONS);
    const session = await openSession({
      cwd,
      env: {},
      uri: at.uri,
      onCommand: (name) => seen.add(name),
    });
    const { report } = await dryRun(session, 'm1').finally(() => closeSession(session));
    expect(report.scanned).toBe(900);
    expect(report.wouldFail).toBe(180);
    expect(report.validationFailureCount).toBeGreaterThan(0);
    expect([...seen].filter((name) => !READ_ONLY.has(name))).toEqual([]);
    expect([...seen]).toContain('find');
    expect(await allDatabases(client)).toEqual(before);
    expect(await writesLogged(client)).toBe(logged);
  });

  test('is all that a user who may only read needs, and is allowed: a run is refused and changes nothing', {
    tags: ['P1'],
  }, async () => {
    const before = await allDatabases(client);
    const cwd = await makeMigration(UP, OPTIONS);
    const env = { cwd, uri: readerUri };
    const dry = await runJson(['run', 'm1', '--dry-run'], env);
    expect([dry.code, dry.json]).toMatchObject([4, { scanned: 900, wouldFail: 180 }]);
    const sample = await runJson(['run', 'm1', '--dry-run', '--sample', '50'], env);
    expect(sample.json).toMatchObject({ scanned: 50, sample: 50 });
    expect((await runJson(['list'], env)).code).toBe(0);
    const run = await runCommand(['run', 'm1', '--json'], env);
    expectRefusal(run, { exit: 1, code: 'GODWIT_FORBIDDEN', says: /found a right missing/ });
    expect(await allDatabases(client)).toEqual(before);
  });
});
