/** A merge of three collections, what it must leave, and an application beside it: for both tiers. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db, Document } from 'mongodb';
import { expect, inject } from 'vitest';
import { brokenInvariants } from '../support/crash.js';
import { brokenHistory, brokenSums } from '../support/observe.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';
import type { Place } from '../support/trouble.js';

const MIGRATION = `import { defineMigration, merge } from 'godwit';
const up = (name) => ({ mail, phone, n, ...rest }) => ({ email: mail?.toLowerCase(), phone, [name]: n });
export default defineMigration({ description: 'a test', steps: [merge({
  into: 'contacts',
  from: { clients: { map: up('c') }, customers: { map: up('d') }, leads: { map: up('l') } },
  identity: [({ email }) => email, ({ phone }) => phone],
})] });
`;

export const SOURCES = ['clients', 'customers', 'leads'] as const;
type Source = (typeof SOURCES)[number];

export interface Doc {
  _id: string;
  [field: string]: unknown;
}

/** People. */
export const COUNT = 400;

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
export async function expectUnified(db: Db): Promise<void> {
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
export const RUN = ['run', 'm1', '--progress', 'none', '--json'];

export interface MergePlace extends Place {
  hashes(): Promise<(string | undefined)[]>;
}

export function useMerges(): { place(): Promise<MergePlace> } {
  const scratch = useScratch('merges', () => inject('mongoUri'));
  return {
    async place() {
      const { db, uri } = scratch.make();
      await fill(db);
      const cwd = await makeProject({ 'scripts/migrations/m1.mjs': MIGRATION });
      return { db, uri, cwd, hashes: () => Promise.all(NAMES.map((name) => hashOf(db, name))) };
    },
  };
}

export const expectSound = async (db: Db): Promise<void> =>
  expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);

/** Edits, inserts and deletes in the sources. @returns ends it */
export function writeBeside(db: Db): () => Promise<void> {
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
  const work = async (): Promise<void> => {
    while (!isOver) {
      await write();
      await sleep(5);
    }
  };
  const load = work();
  load.catch(() => undefined);
  return () => {
    isOver = true;
    return load;
  };
}
