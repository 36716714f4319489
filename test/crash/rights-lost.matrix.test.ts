/** Rights, passwords and users that change in the middle of a run; and a process that runs out of memory. */
import { type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { useAuthServer } from '../support/auth-server.js';
import { runCommand, runJson } from '../support/command.js';
import { brokenInvariants } from '../support/crash.js';
import { killLeftovers, runProcess, runProcessJson } from '../support/process.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';
import {
  COUNT,
  errorCode,
  expectAsUndisturbed,
  expectEnded,
  heldAt,
  type Place,
  prepare,
  processHeldAt,
  RUN,
  runTwin,
  type Twin,
} from '../support/trouble.js';

const PASSWORD = 'Zq9-first';
const READ_WRITE = [{ role: 'readWrite', db: '' }];

describe('a user that', () => {
  const server = useAuthServer();
  const scratch = useScratch('rights', () => server.rootUri());
  afterAll(killLeftovers);
  let root: MongoClient;
  let twin: Twin;
  beforeAll(async () => {
    root = await new MongoClient(server.rootUri()).connect();
    const place = await asUser();
    twin = await runTwin(place);
    return () => root.close();
  });

  /** A database with a user of its own; the tests look at it as root. */
  async function asUser(): Promise<Place> {
    const { db, name, uri: _root } = scratch.make();
    const uri = await server.addUser(name, 'writer', PASSWORD, 'readWrite');
    return prepare({ db, uri });
  }

  const update = ({ db }: Place, change: Document): Promise<Document> =>
    root.db(db.databaseName).command({ updateUser: 'writer', ...change });
  const grant = (at: Place): Promise<Document> =>
    update(at, { roles: READ_WRITE.map(({ role }) => ({ role, db: at.db.databaseName })) });

  async function expectResumes(at: Place): Promise<void> {
    const { code, json } = await runJson(RUN.slice(0, -1), at);
    expect([code, json['state'] ?? json]).toEqual([0, 'completed']);
    await expectAsUndisturbed(at, twin);
  }

  // A run that may not give its lease back is ended for who comes next when its process is gone.
  const LEFT = [
    ['batch:after-data', 'reading'],
    ['batch:before-read', 'nothing'],
    ['batch:after-audit', 'reading'],
    ['batch:before-commit', 'nothing'],
  ] as const;
  test.each(matrix(LEFT))(
    'may no longer write at %s (%s is left) leaves no half batch',
    { tags: ['F26', 'P3', 'P5', 'P10'] },
    async (point, left) => {
      const at = await asUser();
      const told = await processHeldAt(at, { at: point }, () =>
        update(at, { roles: left === 'reading' ? [{ role: 'read', db: at.db.databaseName }] : [] }),
      );
      await expectEnded(at, told, 'GODWIT_FORBIDDEN');
      await grant(at);
      await expectResumes(at);
    },
  );

  test('may write the state only, not the target, leaves no half batch', { tags: ['F26'] }, async () => {
    const at = await asUser();
    const database = at.db.databaseName;
    const on = (collection: string, actions: string[]): Document => ({
      resource: { db: database, collection },
      actions,
    });
    const all = ['find', 'insert', 'update', 'remove', 'createCollection', 'createIndex'];
    const states = ['migrations', 'migrations_chunks', 'migrations_audit', 'migrations_failures', 'migrations_touched'];
    const privileges = [on('', ['find', 'listCollections', 'changeStream']), ...states.map((name) => on(name, all))];
    await root.db(database).command({ createRole: 'stateOnly', privileges, roles: [] });
    const told = await heldAt(at, { at: 'batch:after-read' }, () => update(at, { roles: ['stateOnly'] }));
    await expectEnded(at, told, 'GODWIT_FORBIDDEN');
    await grant(at);
    await expectResumes(at);
  });

  test.each(matrix(['batch:before-commit', 'batch:after-read']))(
    'has another password from %s on goes on, or ends whole; the password is nowhere',
    { tags: ['F27', 'P11'] },
    async (point) => {
      const at = await asUser();
      const told = await heldAt(at, { at: point }, () => update(at, { pwd: 'Zq9-second' }));
      if (told.code === 0) expect(told.json['state']).toBe('completed');
      else await expectEnded(at, told, 'GODWIT_AUTH');
      expect(told.stdout + told.stderr).not.toContain('Zq9');
      const refused = await runCommand(RUN, at);
      expect(errorCode({ json: JSON.parse(refused.stdout) as Record<string, unknown> })).toBe('GODWIT_AUTH');
      await expectResumes({ ...at, uri: at.uri.replace(PASSWORD, 'Zq9-second') });
    },
  );

  const make = ({ db }: Place): Promise<Document> =>
    root.db(db.databaseName).command({
      createUser: 'writer',
      pwd: PASSWORD,
      roles: READ_WRITE.map(({ role }) => ({ role, db: db.databaseName })),
    });
  const drop = ({ db }: Place): Promise<Document> => root.db(db.databaseName).command({ dropUser: 'writer' });
  const makeAgain = (at: Place): Promise<Document> => drop(at).then(() => make(at));

  test.each(matrix(['batch:after-data', 'batch:before-read', 'batch:before-commit']))(
    'was dropped and made again at %s goes on with a new login',
    { tags: ['F27', 'P3'] },
    async (point) => {
      const at = await asUser();
      const told = await heldAt(at, { at: point }, () => makeAgain(at));
      expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
      await expectAsUndisturbed(at, twin);
    },
  );

  test('was dropped and made again goes on with a new login in a rollback, too', { tags: ['F27'] }, async () => {
    const at = await asUser();
    expect((await runCommand(RUN, at)).code).toBe(0);
    const told = await heldAt(at, { at: 'rollback:before-commit', args: ['rollback', 'm1', '--json'] }, () =>
      makeAgain(at),
    );
    expect([told.code, told.json], told.stderr).toMatchObject([0, { restored: COUNT, identical: true }]);
    expect(await hashOf(at.db, 'people')).toBe(twin.before);
  });

  test('was dropped for good ends the run, which says so', { tags: ['F27', 'P10'] }, async () => {
    const at = await asUser();
    const told = await processHeldAt(at, { at: 'batch:after-data' }, () => drop(at));
    await expectEnded(at, told, 'GODWIT_AUTH');
    await make(at);
    await expectResumes(at);
  });
});

describe('a process that runs out of memory', () => {
  const scratch = useScratch('memory', () => inject('mongoUri'));

  test('leaves a run that goes on', { tags: ['F11', 'P3'] }, async () => {
    const hoard = `(doc) => {
      if (doc._id === 50 && !process.env.SPARE) globalThis.hoard = Array.from({ length: 2e7 }, () => ({}));
      return { ...doc, mark: 'x' };
    }`;
    const at = await prepare(scratch.make(), hoard);
    const dead = await runProcess(RUN, { ...at, env: { NODE_OPTIONS: '--max-old-space-size=64' } });
    expect(dead.code ?? dead.signal).toSatisfy((end: unknown) => end === 134 || end === 'SIGABRT');
    expect(await brokenInvariants(at.db)).toEqual([]);
    const resumed = await runProcessJson(RUN.slice(0, -1), { ...at, env: { SPARE: '1' } });
    expect(resumed.json).toMatchObject({ state: 'completed', changed: COUNT });
  });
});
