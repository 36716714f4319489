/** The example's customers, clients and leads become contacts: whole, and killed at random with four workers. */
import { fileURLToPath } from 'node:url';
import type { Db, Document } from 'mongodb';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { loadLegacy } from '../../examples/crm/load.js';
import { runJson } from '../support/command.js';
import { brokenInvariants, killAfter, randomFrom } from '../support/crash.js';
import { libraryAt } from '../support/library.js';
import { brokenHistory, brokenSums } from '../support/observe.js';
import { killLeftovers } from '../support/process.js';
import { hashOf, structureOf, useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';

const CRM = fileURLToPath(new URL('../../examples/crm', import.meta.url));
const ID = '20261126T0900-unify-contacts';
const SOURCES = ['customers', 'clients', 'leads'] as const;
const REFERRERS = ['invoices', 'tasks', 'notes'] as const;

type Named = { readonly collection: string; readonly id: unknown };
const textOf = (collection: string, id: unknown): string => `${collection}/${String(id)}`;

/** What refers to whom: the text of each source document that a document names. */
const referred: Readonly<Record<(typeof REFERRERS)[number], (doc: Document) => string[]>> = {
  invoices: ({ client }) => [textOf('clients', client)],
  tasks: ({ customers }) => (customers as unknown[]).map((id) => textOf('customers', id)),
  notes: ({ subject }) => [textOf(`${String(subject.kind).toLowerCase()}s`, subject.id)],
};

/** The same once everybody is a contact. */
const unified: Readonly<Record<(typeof REFERRERS)[number], (doc: Document) => unknown[]>> = {
  invoices: ({ client }) => [client],
  tasks: ({ customers }) => customers as unknown[],
  notes: ({ subject }) => [subject.id],
};

const all = (db: Db, name: string): Promise<Document[]> => db.collection(name).find().sort({ _id: 1 }).toArray();

/** Every source document is named once, no key is twice, and every reference leads to the contact of whom it meant. */
async function expectUnified(db: Db, before: Readonly<Record<string, readonly Document[]>>): Promise<void> {
  const contacts = await all(db, 'contacts');
  const homes = new Map<string, unknown>();
  for (const { _id, _legacy } of contacts)
    for (const { collection, id } of _legacy as Named[]) {
      expect(homes.has(textOf(collection, id))).toBe(false);
      homes.set(textOf(collection, id), _id);
    }
  const there = SOURCES.flatMap((name) => (before[name] ?? []).map(({ _id }) => textOf(name, _id)));
  expect([...homes.keys()].sort()).toEqual(there.sort());
  for (const key of ['email', 'phone']) {
    const values = contacts.flatMap((contact) => (contact[key] === undefined ? [] : [String(contact[key])]));
    expect(values.length).toBe(new Set(values).size);
  }
  for (const name of REFERRERS) {
    const now = await all(db, name);
    for (const [at, old] of (before[name] ?? []).entries())
      for (const [n, text] of referred[name](old).entries()) {
        const value = unified[name](now[at] ?? {})[n];
        // The one whom nobody knew before.
        if (text === 'clients/999999') expect(value).toBe(999_999);
        else expect([name, text, String(value)]).toEqual([name, text, String(homes.get(text))]);
      }
  }
}

const KILLED = [
  { people: 200, kills: 1 },
  { people: 600, kills: 5 },
] as const;

describe('the three collections of the example', () => {
  const scratch = useScratch('unify', () => inject('mongoUri'));
  afterAll(killLeftovers);

  async function place(people: number) {
    const { db, uri } = scratch.make();
    await loadLegacy(db, { people });
    const names = [...SOURCES, ...REFERRERS];
    const documents = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await all(db, name)])));
    const hashes = () => Promise.all(names.map((name) => hashOf(db, name)));
    return { db, uri, documents, hashes, structure: () => structureOf(db) };
  }

  test('become one, each person once, with all that refers to them, and go back: documents, indexes and validators', {
    tags: ['P6'],
  }, async () => {
    const { db, uri, documents, hashes, structure } = await place(300);
    const before = [await hashes(), await structure()];
    const unify = libraryAt({ cwd: CRM, uri }, ID);
    const dry = await unify.dryRun();
    expect(dry).toMatchObject({
      wouldInsert: 300,
      wouldFail: 0,
      idempotent: true,
      merges: [{ groups: 300, largest: 3 }],
    });
    expect([await hashes(), await structure()]).toEqual(before);
    expect(await unify.run()).toMatchObject({
      state: 'completed',
      inserted: 300,
      changed: dry['wouldChange'],
      failed: 0,
    });
    await expectUnified(db, documents);
    expect(await unify.verify()).toMatchObject({ ok: true });
    await expect(db.collection('contacts').insertOne({ name: 'nobody' })).rejects.toMatchObject({ code: 121 });
    expect(await unify.dryRun()).toMatchObject({ wouldInsert: 0, wouldChange: 0 });
    expect(await unify.rollback()).toMatchObject({ state: 'rolled-back', removed: 300, identical: true });
    expect([await hashes(), await structure()]).toEqual(before);
  });

  test.each(matrix(KILLED))(
    'killed at random with four workers ($kills times, $people people), forwards and back: nobody is twice, nobody is lost, every byte comes back',
    { tags: ['P3', 'P6'] },
    async ({ people, kills }) => {
      const { db, uri, documents, hashes, structure } = await place(people);
      const before = [await hashes(), await structure()];
      const random = randomFrom(20_261_126);
      const RUN = ['run', ID, '--workers', '4', '--batch-size', '40'];
      const at = { cwd: CRM, uri };
      for (let kill = 0; kill < kills; kill += 1) await killAfter(RUN, at, db, 80, random() * 40);
      expect((await runJson(RUN, at)).json).toMatchObject({ state: 'completed', inserted: people });
      await expectUnified(db, documents);
      expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
      await killAfter(['rollback', ID], at, db, 200, random() * 40, 'down');
      expect((await runJson(['rollback', ID], at)).json).toMatchObject({ identical: true, removed: people });
      expect([await hashes(), await structure()]).toEqual(before);
    },
  );
});
