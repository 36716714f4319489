/** Collections become one, on a real server: who is the same as whom, what becomes of the fields, and the way back. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Document, Double, Long, ObjectId } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { libraryAt } from '../support/library.js';
import { brokenHistory, brokenSums } from '../support/observe.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

const project = (steps: string, id = 'm1'): Promise<string> =>
  makeProject({
    [`scripts/migrations/${id}.mjs`]: `import { defineMigration, merge, references, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${steps}] });
`,
  });

const STEP = (more = ''): string => `merge({
  into: 'contacts',
  from: {
    clients: { map: ({ mail, phone, name, city }) => ({ email: mail?.toLowerCase(), name, phone, city }) },
    customers: { map: ({ email, tel, name, city }) => ({ email: email?.toLowerCase(), name, phone: tel, city }) },
  },
  identity: [({ email }) => email, ({ phone }) => phone],
  ${more}
})`;

interface Doc {
  _id: string | number;
  [field: string]: unknown;
}

type Collections = Readonly<Record<string, readonly Doc[]>>;

describe.concurrent('a merge', () => {
  const scratch = useScratch('merge', () => inject('mongoUri'));

  async function place(collections: Collections, steps = STEP()) {
    const { db, uri } = scratch.make();
    for (const [name, documents] of Object.entries<readonly Doc[]>({
      contacts: [],
      clients: [],
      customers: [],
      ...collections,
    })) {
      await db.createCollection(name);
      if (documents.length > 0) await db.collection(name).insertMany(documents.map((one) => ({ ...one }) as Document));
    }
    const names = ['contacts', 'clients', 'customers'];
    const hashes = () => Promise.all(names.map((name) => hashOf(db, name)));
    const all = async (): Promise<unknown> => db.collection('contacts').find().sort({ _id: 1 }).toArray();
    const cwd = await project(steps);
    return { db, uri, cwd, m1: libraryAt({ cwd, uri }), hashes, all };
  }

  const PEOPLE: Collections = {
    contacts: [{ _id: 'k', email: 'kim@x.test', name: 'Kim', note: 'old' }],
    clients: [
      { _id: 1, mail: 'Ana@X.test', name: 'Ana', phone: '11' },
      { _id: 2, mail: 'bo@x.test', name: 'Bo', city: 'Oslo' },
      { _id: 3, name: 'Cy', phone: '33' },
    ],
    customers: [
      // Ana by her mail, and by her phone the one after: one person.
      { _id: 1, email: 'ana@x.test', name: 'A. Lima', city: 'Porto', tel: '12' },
      { _id: 12, name: 'Ana Lima', tel: '12' },
      { _id: 13, email: 'KIM@x.test', name: 'Kim B.', tel: '44' },
      { _id: 14, email: 'dee@x.test', name: 'Dee' },
    ],
  };

  test('makes one document of those that are the same, told beforehand, and goes back to the same bytes', {
    tags: ['P1', 'P6'],
  }, async () => {
    const at = await place(PEOPLE);
    const before = await at.hashes();
    expect(await at.m1.dryRun()).toMatchObject({
      ...{ scanned: 5, wouldInsert: 4, wouldChange: 1, wouldFail: 0, deterministic: true, idempotent: null },
      merges: [
        {
          ...{ into: 'contacts', sources: { clients: 3, customers: 4 }, groups: 5, doubles: 2, largest: 3 },
          conflicts: { name: { target: 3, source: 0, other: 0 }, phone: { target: 2, source: 0, other: 0 } },
        },
      ],
    });
    expect(await at.hashes()).toEqual(before);
    expect(await at.m1.run()).toMatchObject({ state: 'completed', changed: 1, inserted: 4, failed: 0 });
    const legacy = (...ids: [string, number][]) => ids.map(([collection, id]) => ({ collection, id }));
    expect(await at.all()).toEqual([
      {
        ...{ _id: 1, email: 'ana@x.test', name: 'Ana', phone: '11', city: 'Porto' },
        _legacy: legacy(['clients', 1], ['customers', 1], ['customers', 12]),
      },
      { _id: 2, email: 'bo@x.test', name: 'Bo', city: 'Oslo', _legacy: legacy(['clients', 2]) },
      { _id: 3, name: 'Cy', phone: '33', _legacy: legacy(['clients', 3]) },
      { _id: 14, email: 'dee@x.test', name: 'Dee', _legacy: legacy(['customers', 14]) },
      { _id: 'k', email: 'kim@x.test', name: 'Kim', note: 'old', phone: '44', _legacy: legacy(['customers', 13]) },
    ]);
    expect(await at.m1.verify()).toMatchObject({ ok: true, checked: 7 });
    expect([...(await brokenHistory(at.db)), ...(await brokenSums(at.db))]).toEqual([]);
    expect(await at.db.collection('migrations_idmap').countDocuments()).toBe(8);
    expect(await at.m1.rollback()).toMatchObject({ state: 'rolled-back', restored: 1, removed: 4, identical: true });
    expect(await at.hashes()).toEqual(before);
    expect(await at.db.collection('migrations_idmap').countDocuments()).toBe(0);
  });

  test('leaves what is nobody else in peace, and gives nobody an _id that is taken', async () => {
    const at = await place({
      contacts: [
        { _id: 1, email: 'kept@x.test', name: 'Kept' },
        { _id: 'alone', name: 'Alone' },
      ],
      clients: [
        { _id: 1, mail: 'ana@x.test', name: 'Ana' },
        { _id: 2, mail: '', name: 'Nobody' },
        { _id: 3, mail: '', name: 'Nobody else' },
      ],
      customers: [{ _id: 2, email: 'bo@x.test', name: 'Bo' }],
    });
    const before = await at.hashes();
    expect(await at.m1.run()).toMatchObject({ state: 'completed', inserted: 4, changed: 0 });
    const found = await at.db.collection<Doc>('contacts').find().toArray();
    expect(found.map(({ name }) => name).sort()).toEqual(['Alone', 'Ana', 'Bo', 'Kept', 'Nobody', 'Nobody else']);
    expect(found.find(({ _id }) => _id === 1)).toEqual({ _id: 1, email: 'kept@x.test', name: 'Kept' });
    expect(found.filter(({ name }) => name === 'Ana' || name === 'Bo').map(({ _id }) => String(_id))).toEqual([
      expect.stringMatching(/^[0-9a-f]{24}$/),
      expect.stringMatching(/^[0-9a-f]{24}$/),
    ]);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    expect(await at.m1.rollback()).toMatchObject({ removed: 4, restored: 0, identical: true, noBefore: 0 });
    expect(await at.hashes()).toEqual(before);
  });

  test('lets nobody keep an _id that two people of two collections have: references can be told apart', async () => {
    const at = await place(
      {
        clients: [
          { _id: 11, mail: 'ana@x.test' },
          { _id: 12, mail: 'cy@x.test' },
        ],
        customers: [
          { _id: 11, email: 'bo@x.test' },
          { _id: 12, email: 'CY@x.test' },
        ],
      },
      `${STEP()}, references({ collection: 'bills', path: 'client', from: 'clients', to: 'contacts' })`,
    );
    await at.db.collection<Doc>('bills').insertMany([
      { _id: 1, client: 11 },
      { _id: 2, client: 12 },
    ]);
    expect(await at.m1.dryRun()).toMatchObject({ idempotent: true, references: [{ ids: 0, several: 0, dangling: 0 }] });
    expect(await at.m1.run()).toMatchObject({ state: 'completed', inserted: 3, changed: 1 });
    const [ana] = await at.db.collection('contacts').find({ email: 'ana@x.test' }).toArray();
    expect(ana?._id).toBeInstanceOf(ObjectId);
    expect(await at.db.collection('bills').find().sort({ _id: 1 }).toArray()).toEqual([
      { _id: 1, client: ana?._id },
      { _id: 2, client: 12 },
    ]);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    expect(await at.m1.rollback()).toMatchObject({ identical: true });
  });

  test('obeys what a person has decided in the duplicates report', async () => {
    const at = await place(PEOPLE);
    const before = await at.hashes();
    const files = (await at.m1.dryRun())['files'] as string[];
    const named = (end: string): string => files.find((file) => file.endsWith(`-contacts-duplicates.${end}`)) ?? '';
    const csv = await readFile(named('csv'), 'utf8');
    expect(csv.split('\n').slice(0, 2)).toEqual([
      'group,canonical,exists,collection,_id,ref,apart,conflicts',
      expect.stringMatching(/^1,1,false,clients,1,[0-9a-f]{16},false,$/),
    ]);
    const report = JSON.parse(await readFile(named('json'), 'utf8'));
    expect(report.groups).toMatchObject([
      { exists: false, members: [{ collection: 'clients' }, { collection: 'customers' }, { collection: 'customers' }] },
      { exists: true, members: [{ collection: 'customers' }] },
    ]);
    expect(JSON.stringify(report)).not.toMatch(/Lima|x\.test/);
    const [, lima, other] = report.groups[0].members;
    other.apart = true;
    for (const conflict of report.groups[0].conflicts)
      if (conflict.field === 'name' && conflict.ref === lima.ref) conflict.kept = 'source';
    await mkdir(join(at.cwd, 'scripts/decisions'), { recursive: true });
    const decisions = join(at.cwd, 'scripts/decisions/people.json');
    await writeFile(decisions, JSON.stringify(report));
    const file = join(at.cwd, 'scripts/migrations/m1.mjs');
    const text = await readFile(file, 'utf8');
    await writeFile(
      file,
      text.replace("into: 'contacts',", "into: 'contacts', decisions: 'scripts/decisions/people.json',"),
    );

    expect(await at.m1.dryRun()).toMatchObject({ wouldInsert: 5, wouldChange: 1, merges: [{ groups: 6, doubles: 2 }] });
    expect(await at.m1.run()).toMatchObject({ state: 'completed', inserted: 5, changed: 1 });
    const all = await at.db
      .collection<Doc>('contacts')
      .find({ name: /Lima|Ana/ })
      .sort({ _id: 1 })
      .toArray();
    expect(all.map(({ _id, name, phone }) => [_id, name, phone])).toEqual([
      [1, 'A. Lima', '11'],
      [12, 'Ana Lima', '12'],
    ]);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    expect(await at.m1.dryRun()).toMatchObject({ wouldInsert: 0, wouldChange: 0 });
    await writeFile(decisions, JSON.stringify({ groups: [] }));
    await expect(at.m1.rollback()).rejects.toMatchObject({
      code: 'GODWIT_CHECKSUM',
      message: expect.stringContaining('people.json'),
    });
    await writeFile(decisions, JSON.stringify(report));
    expect(await at.m1.rollback()).toMatchObject({ identical: true });
    expect(await at.hashes()).toEqual(before);
  });

  test('decides each conflict by its rule', async () => {
    const day = (n: number): Date => new Date(Date.UTC(2026, 0, n));
    const source = `merge({
      into: 'contacts',
      from: {
        clients: { map: ({ _id, updatedAt, ...rest }) => rest },
        customers: { map: ({ _id, updatedAt, ...rest }) => rest },
      },
      identity: [({ email }) => email],
      onConflict: {
        a: 'keepTarget', b: 'keepSource', c: 'newest',
        tags: (target, source, { from, field }) => [...target, ...source, from, field],
      },
    })`;
    const at = await place(
      {
        clients: [{ _id: 1, email: 'x', a: 1, b: 1, c: 1, d: null, tags: ['p'], updatedAt: day(2) }],
        customers: [
          { _id: 2, email: 'x', a: 2, b: 2, c: 2, d: 4, tags: ['q'], updatedAt: day(1) },
          { _id: 3, email: 'x', a: 3, b: 3, c: 3, updatedAt: day(3) },
        ],
      },
      source,
    );
    expect(await at.m1.run()).toMatchObject({ state: 'completed', changed: 0, inserted: 1 });
    expect(await at.db.collection<Doc>('contacts').findOne({ _id: 1 })).toMatchObject({
      ...{ a: 1, b: 3, c: 3, d: 4 },
      tags: ['p', 'q', 'customers', 'tags'],
    });
    expect(await at.m1.verify()).toMatchObject({ ok: true });
  });

  test('by the same _id, with a function for whole documents, and without a note in them', async () => {
    const source = `merge({
      into: 'contacts',
      from: { clients: { map: ({ _id, ...rest }) => rest }, customers: { map: ({ _id, ...rest }) => rest, filter: { old: { $ne: true } } } },
      identity: 'sameId',
      provenance: false,
      onConflict: (target, source, { from }) => ({ ...source, ...target, from }),
    })`;
    const at = await place(
      {
        contacts: [{ _id: 5, n: 1 }],
        clients: [
          { _id: 5, n: 2, a: 1 },
          { _id: 6, n: 3 },
        ],
        customers: [
          { _id: 5, n: 4, b: 1 },
          { _id: 7, old: true },
        ],
      },
      source,
    );
    expect(await at.m1.run()).toMatchObject({ state: 'completed', changed: 1, inserted: 1 });
    expect(await at.all()).toEqual([
      { _id: 5, n: 1, a: 1, from: 'customers', b: 1 },
      { _id: 6, n: 3 },
    ]);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    expect(await at.m1.rollback()).toMatchObject({ removed: 1, restored: 1, identical: true });
  });

  test('keeps the types of what it takes over, and of what keep() moves', async () => {
    const source = `merge({
      into: 'contacts',
      from: { clients: { map: ({ _id, count, balance }, { keep }) => ({ count, credit: keep('balance') }) } },
      identity: 'sameId',
    })`;
    const at = await place({ clients: [{ _id: 1, count: new Double(3), balance: Long.fromNumber(7) }] }, source);
    expect(await at.m1.run()).toMatchObject({ inserted: 1 });
    const [found] = await at.db.collection('contacts').find({}, { promoteValues: false }).toArray();
    expect(found).toMatchObject({ count: new Double(3), credit: Long.fromNumber(7) });
  });

  test('quarantines what cannot be mapped; once it can, retry finds who it is', async () => {
    const source = STEP().replace(
      '({ mail, phone, name, city }) =>',
      "({ mail, phone, name, city }, { reject }) => name === undefined ? reject('no name') :",
    );
    const at = await place(
      {
        clients: [
          { _id: 1, mail: 'ana@x.test' },
          { _id: 2, mail: 'bo@x.test', name: 'Bo' },
        ],
        customers: [{ _id: 9, email: 'ana@x.test', name: 'Ana' }],
      },
      source,
    );
    const before = await at.hashes();
    expect(await at.m1.dryRun()).toMatchObject({ wouldFail: 1, wouldInsert: 2 });
    expect(await at.m1.run({ maxFailures: 5 })).toMatchObject({ state: 'completed', inserted: 2, failed: 1 });
    expect(await at.m1.verify()).toMatchObject({ ok: false });
    await at.db.collection<Doc>('clients').updateOne({ _id: 1 }, { $set: { name: 'Ana Lima' } });
    expect(await at.m1.retry()).toMatchObject({ state: 'completed', failed: 0 });
    expect(await at.all()).toEqual([
      { _id: 2, email: 'bo@x.test', name: 'Bo', _legacy: [{ collection: 'clients', id: 2 }] },
      {
        ...{ _id: 9, email: 'ana@x.test', name: 'Ana' },
        _legacy: [
          { collection: 'clients', id: 1 },
          { collection: 'customers', id: 9 },
        ].reverse(),
      },
    ]);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    await at.db.collection<Doc>('clients').updateOne({ _id: 1 }, { $unset: { name: 1 } });
    expect(await at.m1.rollback()).toMatchObject({ identical: true });
    expect(await at.hashes()).toEqual(before);
  });

  test('is taken back but for what the application has changed since', async () => {
    const at = await place(PEOPLE);
    await at.m1.run();
    await at.db.collection<Doc>('contacts').updateOne({ _id: 2 }, { $set: { vip: true } });
    await at.db.collection<Doc>('contacts').updateOne({ _id: 'k' }, { $set: { vip: true } });
    await at.db.collection<Doc>('contacts').deleteOne({ _id: 3 });
    await at.db.collection<Doc>('contacts').insertOne({ _id: 'new', name: 'New' });
    expect(await at.m1.rollback()).toMatchObject({
      ...{ removed: 2, keptFields: 1, alreadyBack: 1, conflicts: 1, noBefore: 1, identical: false },
    });
    expect(await at.all()).toEqual([
      { _id: 2, email: 'bo@x.test', name: 'Bo', city: 'Oslo', _legacy: [{ collection: 'clients', id: 2 }], vip: true },
      { _id: 'k', email: 'kim@x.test', name: 'Kim', note: 'old', vip: true },
      { _id: 'new', name: 'New' },
    ]);
  });

  test('is refused where nobody can say who the documents of its own collection are', async () => {
    const source = STEP().replace('({ email }) => email,', '({ email }) => email.trim(),');
    const at = await place({ contacts: [{ _id: 1, name: 'Nobody' }], clients: [{ _id: 2, mail: 'a@x.test' }] }, source);
    const before = await at.hashes();
    for (const verb of [at.m1.dryRun, at.m1.run])
      await expect(verb()).rejects.toMatchObject({ code: 'GODWIT_MIGRATION_BROKEN' });
    expect(await at.hashes()).toEqual(before);
  });

  const REFERRING = `
    references({ collection: 'invoices', path: 'client', from: 'clients', to: 'contacts' }),
    references({ collection: 'tasks', path: 'who', from: 'customers', to: 'contacts' }),
    references({
      collection: 'notes', path: 'subject.id', typePath: 'subject.kind',
      from: { Client: 'clients', Customer: 'customers' }, to: 'contacts', typeTo: 'Contact',
    })`;

  const CLIENT = [new ObjectId('65a000000000000000000001'), new ObjectId('65a000000000000000000002')];
  const CUSTOMER = [new ObjectId('65b000000000000000000001'), new ObjectId('65b000000000000000000002')];
  const [ANA, BO, ANA_AGAIN, DEE] = [...CLIENT, ...CUSTOMER];

  async function referring(steps: string) {
    const at = await place({}, steps);
    const insert = (name: string, documents: Document[]) => at.db.collection(name).insertMany(documents);
    await insert('clients', [
      { _id: ANA, mail: 'ana@x.test' },
      { _id: BO, mail: 'bo@x.test' },
    ]);
    await insert('customers', [
      { _id: ANA_AGAIN, email: 'ANA@x.test' },
      { _id: DEE, email: 'dee@x.test' },
    ]);
    await insert(
      'invoices',
      [ANA, BO, new ObjectId('65c000000000000000000009'), null].map((client, n) => ({ n, client })),
    );
    await insert('tasks', [{ who: [ANA_AGAIN, DEE] }, { who: [] }, {}]);
    await insert('notes', [
      { subject: { kind: 'Customer', id: ANA_AGAIN } },
      { subject: { kind: 'Client', id: ANA } },
      { subject: { kind: 'Deal', id: ANA } },
    ]);
    const names = ['contacts', 'clients', 'customers', 'invoices', 'tasks', 'notes'];
    return { ...at, hashes: () => Promise.all(names.map((name) => hashOf(at.db, name))) };
  }

  async function expectFollowed(at: Awaited<ReturnType<typeof referring>>): Promise<void> {
    const invoices = await at.db.collection('invoices').find().sort({ n: 1 }).toArray();
    expect(invoices.map(({ client }) => client && String(client))).toEqual([
      ...[String(ANA), String(BO), '65c000000000000000000009'],
      null,
    ]);
    expect((await at.db.collection('tasks').findOne())?.['who'].map(String)).toEqual([String(ANA), String(DEE)]);
    const notes = await at.db.collection('notes').find().sort({ _id: 1 }).toArray();
    expect(notes.map(({ subject }) => `${subject.kind} ${subject.id}`)).toEqual([
      `Contact ${ANA}`,
      `Contact ${ANA}`,
      `Deal ${ANA}`,
    ]);
  }

  test('takes its references along, in one migration', async () => {
    const at = await referring(`${STEP()}, ${REFERRING}`);
    const before = await at.hashes();
    const report = await at.m1.dryRun();
    expect(report).toMatchObject({
      ...{ wouldInsert: 3, wouldChange: 3, wouldFail: 0, warnings: [] },
      references: [
        { collection: 'invoices', keys: 2, dangling: 1, by: null, from: { '': 'clients' } },
        { collection: 'tasks', keys: 2, dangling: 0 },
        { collection: 'notes', keys: 2, dangling: 0 },
      ],
    });
    expect(await at.m1.run()).toMatchObject({ state: 'completed', changed: 3, inserted: 3 });
    await expectFollowed(at);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
    // Complete, and looked at once more: nothing is left to do.
    expect(await at.m1.dryRun()).toMatchObject({ wouldInsert: 0, wouldChange: 0 });
    expect(await at.m1.rollback()).toMatchObject({ identical: true });
    expect(await at.hashes()).toEqual(before);
  });

  test('is known to the migrations after it, and must be there for them', async () => {
    const at = await referring(REFERRING);
    const merging = libraryAt({ uri: at.uri, cwd: await project(STEP(), 'm0') }, 'm0');
    await expect(at.m1.run()).rejects.toMatchObject({ code: 'GODWIT_NOT_RUN' });
    await expect(at.m1.dryRun()).rejects.toMatchObject({ code: 'GODWIT_NOT_RUN' });
    await merging.run();
    expect(await at.m1.run()).toMatchObject({ state: 'completed', changed: 3 });
    await expectFollowed(at);
    expect(await at.m1.verify()).toMatchObject({ ok: true });
  });
});
