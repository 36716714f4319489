/** A merge beside an application that goes on, and killed in its middle: nobody is twice, and nobody is lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db, Document } from 'mongodb';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { brokenHistory, brokenSums, currentRun } from '../support/observe.js';
import { finished, killLeftovers, runProcess, startCommand } from '../support/process.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

const MIGRATION = `import { defineMigration, merge } from 'godwit';
const up = (name) => ({ mail, phone, n, ...rest }) => ({ email: mail?.toLowerCase(), phone, [name]: n });
export default defineMigration({ description: 'a test', steps: [merge({
  into: 'contacts',
  from: { clients: { map: up('c') }, customers: { map: up('d') }, leads: { map: up('l') } },
  identity: [({ email }) => email, ({ phone }) => phone],
})] });
`;

const SOURCES = ['clients', 'customers', 'leads'] as const;
type Source = (typeof SOURCES)[number];

interface Doc {
  _id: string;
  [field: string]: unknown;
}

const COUNT = 400;

/** A third of the people are in each two, and some in all three, joined by the one in the middle. */
async function fill(db: Db): Promise<void> {
  const people = Array.from({ length: COUNT }, (_, n) => n);
  const some = (name: Source, has: (n: number) => boolean, make: (n: number) => Document) =>
    db.collection<Doc>(name).insertMany(people.filter(has).map((n) => ({ _id: `${name}-${n}`, n, ...make(n) })));
  await db.createCollection('contacts');
  await db
    .collection<Doc>('contacts')
    .insertMany(people.slice(0, 20).map((n) => ({ _id: `k-${n}`, email: `p${n}@x.test` })));
  await some(
    'clients',
    (n) => n % 3 !== 0,
    (n) => ({ mail: `P${n}@x.test` }),
  );
  await some(
    'customers',
    (n) => n % 3 !== 1,
    (n) => ({ mail: `p${n}@X.test`, phone: `+${n}` }),
  );
  await some(
    'leads',
    (n) => n % 3 !== 2,
    (n) => ({ phone: `+${n}` }),
  );
}

/** What must hold whatever happened: each source document is named once, and no two documents are the same person. */
async function expectUnified(db: Db): Promise<void> {
  const contacts = await db.collection('contacts').find().toArray();
  const named = contacts.flatMap((contact) => (contact['_legacy'] ?? []) as { collection: string; id: string }[]);
  const notes = named.map(({ collection, id }) => `${collection}/${id}`).sort();
  const there: string[] = [];
  for (const name of SOURCES)
    there.push(...(await db.collection<Doc>(name).find().toArray()).map(({ _id }) => `${name}/${_id}`));
  expect(notes).toEqual(there.sort());
  for (const key of ['email', 'phone']) {
    const values = contacts.flatMap((contact) => (contact[key] === undefined ? [] : [String(contact[key])]));
    expect(values.length).toBe(new Set(values).size);
  }
  for (const name of SOURCES) {
    const field = { clients: 'c', customers: 'd', leads: 'l' }[name];
    const byNote = new Map<string, Document>();
    for (const contact of contacts)
      for (const { collection, id } of contact['_legacy'] ?? []) if (collection === name) byNote.set(id, contact);
    for (const one of await db.collection<Doc>(name).find().toArray())
      expect([one._id, byNote.get(one._id)?.[field]]).toEqual([one._id, one['n']]);
  }
}

const NAMES = ['contacts', ...SOURCES];
const RUN = ['run', 'm1', '--progress', 'none', '--json'];

describe('a merge', () => {
  const scratch = useScratch('merges', () => inject('mongoUri'));
  afterAll(killLeftovers);

  async function place() {
    const { db, uri } = scratch.make();
    await fill(db);
    const cwd = await makeProject({ 'scripts/migrations/m1.mjs': MIGRATION });
    return { db, uri, cwd, hashes: () => Promise.all(NAMES.map((name) => hashOf(db, name))) };
  }

  const expectSound = async (db: Db): Promise<void> =>
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);

  test('is the same with one worker and with four', async () => {
    const [one, four] = [await place(), await place()];
    await runJson([...RUN.slice(0, -1), '--workers', '1', '--batch-size', '50'], one);
    await runJson([...RUN.slice(0, -1), '--workers', '4', '--batch-size', '7'], four);
    expect(await one.hashes()).toEqual(await four.hashes());
    await expectUnified(one.db);
  });

  test.each(['batch:after-data', 'batch:after-commit', 'plan:before-freeze'])(
    'killed at %s goes on to the same end, and back',
    async (point) => {
      const [at, twin] = [await place(), await place()];
      const before = await at.hashes();
      await runJson(RUN.slice(0, -1), twin);
      const hit = point.startsWith('plan') ? 1 : 3;
      const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:${hit}:kill` };
      expect((await runProcess([...RUN, '--batch-size', '20'], { ...at, env })).signal).toBe('SIGKILL');
      expect((await runJson(RUN.slice(0, -1), at)).json).toMatchObject({ state: 'completed' });
      expect(await at.hashes()).toEqual(await twin.hashes());
      await expectUnified(at.db);
      await expectSound(at.db);
      expect((await runJson(['verify', 'm1'], at)).json).toMatchObject({ ok: true });
      const killed = await runCommand(['rollback', 'm1'], {
        ...at,
        env: { GODWIT_TEST: '1', GODWIT_FAULT: 'rollback:after-data:2:kill' },
      });
      expect(killed.signal).toBe('SIGKILL');
      expect((await runJson(['rollback', 'm1'], at)).json).toMatchObject({ identical: true });
      expect(await at.hashes()).toEqual(before);
    },
  );

  test('beside an application that edits, inserts and deletes, killed at random, loses and doubles nobody', async () => {
    const at = await place();
    const { db } = at;
    let isOver = false;
    let n = 10_000;
    const write = async (): Promise<void> => {
      const name = SOURCES[n % 3] as Source;
      const all = db.collection<Doc>(name);
      const known = n % COUNT;
      n += 7;
      if (n % 5 === 0) await all.insertOne({ _id: `${name}-${n}`, n, mail: `P${n}@x.test`, phone: `+${n}` });
      else if (n % 5 === 1) await all.deleteOne({ _id: `${name}-${known}` });
      // The same new person in two collections at once.
      else if (n % 5 === 2) {
        await db.collection<Doc>('clients').insertOne({ _id: `clients-${n}`, n, mail: `both${n}@x.test` });
        await db.collection<Doc>('leads').insertOne({ _id: `leads-${n}`, n, mail: `BOTH${n}@x.test` });
      } else await all.updateOne({ _id: `${name}-${known}` }, { $set: { n } });
    };
    const load = (async () => {
      while (!isOver) {
        await write();
        await sleep(5);
      }
    })();
    for (let kill = 0; kill < 3; kill += 1) {
      const child = startCommand([...RUN, '--batch-size', '5', '--workers', '4', '--max-rate', '60'], at);
      const end = finished(child);
      const before = await audited(db);
      await until(async () => (await audited(db)) > before + 20 || child.exitCode !== null, 60_000);
      child.kill('SIGKILL');
      await end;
    }
    const following = startCommand([...RUN, '--batch-size', '20', '--workers', '4', '--follow'], at);
    const end = finished(following);
    await until(async () => (await currentRun(db)).state === 'catching-up' || following.exitCode !== null, 60_000);
    await sleep(1_000);
    isOver = true;
    await load;
    following.kill('SIGTERM');
    expect((await end).code).toBe(7);
    expect((await runJson(RUN.slice(0, -1), at)).json).toMatchObject({ state: 'completed' });
    await expectSound(db);
    expect((await runJson(['verify', 'm1'], at)).json).toMatchObject({ ok: true });
    await expectUnified(db);
  });
});
