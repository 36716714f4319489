/** What becomes of the source documents of a merge: marked or removed, looked at beforehand, and the way back. */
import type { Db, Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { libraryAt } from '../support/library.js';
import { brokenHistory, brokenSums } from '../support/observe.js';
import { makeProject } from '../support/project.js';
import { patched, rawInsert } from '../support/raw-insert.js';
import { hashOf, useScratch } from '../support/scratch.js';

interface Doc {
  _id: number | string;
  [field: string]: unknown;
}

const STEP = (source: 'mark' | 'remove'): string => `merge({
  into: 'contacts',
  from: {
    clients: { map: ({ _id, mail, fax, ...rest }, { skip }) => rest.spam ? skip('spam') : { email: mail?.toLowerCase(), ...rest } },
    customers: { map: ({ _id, ...rest }) => rest, filter: { old: { $ne: true } } },
  },
  identity: [({ email }) => email],
  source: '${source}',
})`;

const CLIENTS: readonly Doc[] = [
  { _id: 1, mail: 'Ana@x.test', name: 'Ana', fax: 'fax 77' },
  { _id: 2, mail: 'bo@x.test', name: 'Bo' },
  { _id: 3, spam: true },
];
const CUSTOMERS: readonly Doc[] = [
  { _id: 'c1', email: 'ana@x.test', name: 'Ana', city: 'Porto' },
  { _id: 'c2', old: true },
];

const of = (db: Db, name: string): Promise<Document[]> => db.collection(name).find().sort({ _id: 1 }).toArray();

describe.concurrent('the sources of a merge', () => {
  const scratch = useScratch('legacy', () => inject('mongoUri'));

  async function place(source: 'mark' | 'remove', more = '') {
    const { db, uri } = scratch.make();
    await db.createCollection('contacts');
    await db.collection<Doc>('clients').insertMany([...CLIENTS]);
    await db.collection<Doc>('customers').insertMany([...CUSTOMERS]);
    await db.collection<Doc>('invoices').insertOne({ _id: 1, client: 1 });
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { defineMigration, merge, references } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${STEP(source)}${more}] });
`,
    });
    const names = ['contacts', 'clients', 'customers', 'invoices'];
    const hashes = () => Promise.all(names.map((name) => hashOf(db, name)));
    const clients = db.collection<Doc>('clients');
    return { db, uri, cwd, clients, m1: libraryAt({ cwd, uri }), hashes };
  }

  test('are marked with what they are part of, and the mark is nobody else', async () => {
    const at = await place('mark');
    const before = await at.hashes();
    expect(await at.m1.dryRun()).toMatchObject({
      ...{ wouldInsert: 2, wouldChange: 3, wouldDelete: 0, wouldFail: 0, idempotent: null },
      merges: [{ source: 'mark' }],
    });
    expect(await at.m1.run()).toMatchObject({ state: 'completed', inserted: 2, changed: 3, deleted: 0 });
    const mark = (id: unknown) => ({ _mergedInto: { collection: 'contacts', id } });
    expect(await of(at.db, 'clients')).toEqual([
      { ...CLIENTS[0], ...mark(1) },
      { ...CLIENTS[1], ...mark(2) },
      CLIENTS[2],
    ]);
    expect(await of(at.db, 'customers')).toEqual([{ ...CUSTOMERS[0], ...mark(1) }, CUSTOMERS[1]]);
    expect((await of(at.db, 'contacts')).some((contact) => '_mergedInto' in contact)).toBe(false);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    expect(await at.m1.dryRun()).toMatchObject({ wouldInsert: 0, wouldChange: 0 });
    expect(await at.m1.rollback()).toMatchObject({ restored: 3, removed: 2, identical: true });
    expect(await at.hashes()).toEqual(before);
  });

  test('are removed once they are merged, their references followed, and inserted again to the byte', async () => {
    const at = await place(
      'remove',
      `, references({ collection: 'invoices', path: 'client', from: 'clients', to: 'contacts' })`,
    );
    const before = await at.hashes();
    expect(await at.m1.dryRun()).toMatchObject({
      ...{ wouldInsert: 2, wouldDelete: 3, wouldFail: 0 },
      // Of what `map` leaves out nothing would be left.
      disappearing: { 'clients.fax': 1 },
      merges: [{ source: 'remove' }],
    });
    expect(await at.hashes()).toEqual(before);
    expect(await at.m1.run()).toMatchObject({ state: 'completed', inserted: 2, deleted: 3, failed: 0 });
    expect(await of(at.db, 'clients')).toEqual([CLIENTS[2]]);
    expect(await of(at.db, 'customers')).toEqual([CUSTOMERS[1]]);
    expect((await of(at.db, 'contacts'))[0]).toMatchObject({
      _legacy: [
        { collection: 'clients', id: 1 },
        { collection: 'customers', id: 'c1' },
      ],
    });
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    expect([...(await brokenHistory(at.db)), ...(await brokenSums(at.db))]).toEqual([]);
    expect(await at.m1.rollback()).toMatchObject({ reinserted: 3, removed: 2, identical: true });
    expect(await at.hashes()).toEqual(before);
  });

  test('go only as they were merged: what is written in between is merged first', async () => {
    const at = await place('remove');
    // The contacts are there, and nothing is removed yet.
    expect(await at.m1.run({ limit: 2 })).toMatchObject({ state: 'stopped', inserted: 2, deleted: 0 });
    await at.clients.updateOne({ _id: 1 }, { $set: { name: 'Ana Lima' } });
    await at.clients.insertOne({ _id: 4, mail: 'BO@x.test', vip: true });
    await at.db.collection<Doc>('customers').deleteOne({ _id: 'c1' });
    expect(await at.m1.run({ limit: 1 })).toMatchObject({ state: 'stopped', deleted: 1 });
    // Removed, and made again by an old version.
    expect(await at.clients.findOne({ _id: 2 })).toBeNull();
    await at.clients.insertOne({ _id: 2, mail: 'bo@x.test', name: 'Bo', phone: '22' });
    expect(await at.m1.run()).toMatchObject({ state: 'completed' });
    expect(await of(at.db, 'clients')).toEqual([CLIENTS[2]]);
    const [ana, bo] = await of(at.db, 'contacts');
    expect(ana).toMatchObject({ name: 'Ana Lima', _legacy: [{ collection: 'clients', id: 1 }] });
    expect(bo).toMatchObject({ vip: true, phone: '22' });
    expect(bo?.['_legacy']).toHaveLength(2);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    // The one that was removed twice comes back as the application had made it last.
    expect(await at.m1.rollback()).toMatchObject({ reinserted: 3, conflicts: 1 });
    expect(await of(at.db, 'clients')).toEqual([
      { ...CLIENTS[0], name: 'Ana Lima' },
      { ...CLIENTS[1], phone: '22' },
      CLIENTS[2],
      { _id: 4, mail: 'BO@x.test', vip: true },
    ]);
    expect(await of(at.db, 'contacts')).toEqual([]);
  });

  test('stay where their document is gone, and where they could not be inserted again', async () => {
    const at = await place('remove');
    const odd = patched({ _id: 9, mail: 'odd@x.test', fax: '%%' }, '%%', Buffer.from([0xff, 0xfe]));
    await rawInsert(at.uri, at.db.databaseName, 'clients', [odd]);
    expect(await at.m1.run({ limit: 3 })).toMatchObject({ state: 'stopped', inserted: 3, deleted: 0 });
    await at.db.collection<Doc>('contacts').deleteOne({ _id: 2 });
    expect(await at.m1.run({ maxFailures: 5 })).toMatchObject({ state: 'completed', deleted: 2, failed: 1 });
    expect(await at.clients.distinct('_id')).toEqual([2, 3, 9]);
    expect(await at.m1.verify()).toMatchObject({ ok: false });
  });

  test('come back beside what the application has written in their place', async () => {
    const at = await place('remove');
    await at.clients.createIndex({ mail: 1 }, { unique: true, sparse: true });
    await at.clients.insertOne({ _id: 5, mail: 'cy@x.test' });
    expect(await at.m1.run()).toMatchObject({ state: 'completed', deleted: 4 });
    await at.clients.insertMany([
      // Another one with the same _id, the same one, and another one with the same key.
      { _id: 1, mail: 'other@x.test' },
      { ...(CLIENTS[1] as Doc) },
      { _id: 8, mail: 'cy@x.test' },
    ]);
    const back = await at.m1.rollback();
    expect(back).toMatchObject({ reinserted: 1, alreadyBack: 1, conflicts: 2, identical: false });
    expect(back['conflictList']).toEqual([
      expect.objectContaining({ collection: 'clients', because: expect.stringContaining('_id') }),
      expect.objectContaining({ collection: 'clients', because: expect.stringContaining('mail_1') }),
    ]);
    expect(await at.clients.findOne({ _id: 1 })).toEqual({ _id: 1, mail: 'other@x.test' });
    await at.m1.rollback({ onConflict: 'force' });
    expect(await at.clients.findOne({ _id: 1 })).toEqual(CLIENTS[0]);
  });

  test('of two merges are neither marked nor removed', async () => {
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { defineMigration, merge } from 'godwit';
const step = (into, source) => merge({ into, from: { clients: { map: () => ({}) } }, identity: 'sameId', source });
export default defineMigration({ description: 'a test', steps: [step('a', 'keep'), step('b', 'remove')] });
`,
    });
    const { uri } = scratch.make();
    await expect(libraryAt({ cwd, uri }).dryRun()).rejects.toMatchObject({
      code: 'GODWIT_MIGRATION_BROKEN',
      message: expect.stringContaining('another merge of "clients"'),
    });
  });
});
