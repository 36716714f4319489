import { setTimeout as sleep } from 'node:timers/promises';
import type { Collection, Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { Changes, clusterTime, timeOfToken } from '../../src/mongo/changes.js';
import { dryRun } from '../../src/verbs/dry-run.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';

interface Contact {
  _id: number;
  mail?: string;
  v?: number;
  n?: number;
  owner?: number;
  ownerName?: string;
}

interface Owner {
  no?: number | number[];
  name: string;
}

const project = (step: string): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [transform({ collection: 'contacts', ${step} })] });
`,
  });

const LOWER = `up: (doc) => ({ ...doc, mail: doc.mail?.toLowerCase(), v: 2 })`;
const OWNED = `lookup: { owner: { from: 'owners', localField: 'owner', foreignField: '_id' } },
  up: (doc, { lookup }) => ({ ...doc, ownerName: lookup.owner.get(doc.owner)?.name })`;

describe('the change stream', () => {
  const { client, db, uri } = useDatabase('changes');
  const contacts = db.collection<Contact>('contacts');

  const fill = (count: number): Promise<unknown> =>
    contacts.insertMany(Array.from({ length: count }, (_, _id) => ({ _id: _id * 2, mail: `P${_id}@X.test`, n: 0 })));

  test('tells of foreign writes only, by their keys, and how far it has come', async () => {
    await contacts.insertOne({ _id: 0 });
    const own = client.startSession();
    const since = await clusterTime(db);
    const ownSessions = own.id?.id ? [own.id.id] : [];
    const changes = new Changes({ db, collections: ['contacts'], ownSessions, token: null, since });
    await own.withTransaction(() => contacts.updateOne({ _id: 0 }, { $set: { n: 1 } }, { session: own }));
    await contacts.updateOne({ _id: 0 }, { $set: { n: 2 } });
    await db.collection('others').insertOne({ n: 1 });
    const now = (await clusterTime(db)).toBigInt();
    await db.collection('others').insertOne({ n: 2 });
    const seen: unknown[] = [];
    for (let upTo = 0n; upTo <= now; ) {
      const portion = await changes.next();
      seen.push(...portion.events.map(({ kind, collection, id }) => [kind, collection, Number(id)]));
      expect(portion.upTo).toBe(timeOfToken(portion.token));
      upTo = portion.upTo;
    }
    expect(seen).toEqual([['written', 'contacts', 0]]);
    await changes.close();
    await own.endSession();
  });

  test('tells in portions while the application goes on writing', async () => {
    await contacts.insertOne({ _id: 0 });
    const since = await clusterTime(db);
    const changes = new Changes({ db, collections: ['contacts'], ownSessions: [], token: null, since });
    let isOver = false;
    const application = async (): Promise<void> => {
      // Less often than a portion is full, more often than a server waits for something to happen.
      for (; !isOver; await sleep(10)) await contacts.updateOne({ _id: 0 }, { $inc: { n: 1 } });
    };
    const writing = application();
    const lengths: number[] = [];
    for (let told = 0; told < 3; told += lengths.at(-1) ? 1 : 0) lengths.push((await changes.next()).events.length);
    isOver = true;
    await writing;
    await changes.close();
    expect(Math.max(...lengths)).toBeLessThan(300);
  });

  test('lets a run end beside an application that never stops inserting in the old shape, and loses none of its writes', {
    tags: ['F48', 'P2', 'P7'],
  }, async () => {
    await fill(1_500);
    const cwd = await project(LOWER);
    const session = await openSession({ cwd, uri });
    let isOver = false;
    const inserted: number[] = [];
    const increments = new Map<number, number>();
    const application = async (): Promise<void> => {
      for (let n = 0; !isOver; n += 1) {
        const id = 1 + 2 * n;
        await contacts.insertOne({ _id: id, mail: `NEW${n}@X.test`, n: 0 });
        inserted.push(id);
        const other = 2 * ((n * 7) % 1_500);
        await contacts.updateOne({ _id: other }, { $inc: { n: 1 } });
        increments.set(other, (increments.get(other) ?? 0) + 1);
        if (n % 10 === 0) await contacts.replaceOne({ _id: id }, { mail: `SAVED${n}@X.test`, n: 5 });
      }
    };
    const writing = application();
    const result = await startRun(session, 'm1', { batchSize: 100 }).result;
    const afterRun = inserted.length;
    isOver = true;
    await writing;
    expect(result.state).toBe('completed');
    expect(afterRun).toBeGreaterThan(10);
    const counted = await contacts.find({ _id: { $in: [...increments.keys()] } }, { sort: { _id: 1 } }).toArray();
    expect(counted.map(({ _id, n }) => [_id, n])).toEqual([...increments].sort(([a], [b]) => a - b));
    // What came after the run's last look is in the old shape, and nothing else is.
    const old = await contacts.find({ v: { $ne: 2 } }).toArray();
    expect(old.length).toBeLessThan(inserted.length);
    const again = await dryRun(session, 'm1');
    expect(again.report.wouldChange).toBe(old.length);
    await closeSession(session);
  });

  test('sends documents through again whose looked-up document changed behind the cursor', {
    tags: ['F50', 'P7'],
  }, async () => {
    await db.collection<{ _id: number; name: string }>('owners').insertMany([
      { _id: 1, name: 'Ada' },
      { _id: 2, name: 'Bob' },
    ]);
    await contacts.insertMany(Array.from({ length: 600 }, (_, _id) => ({ _id, owner: 1 + (_id % 2) })));
    const cwd = await project(OWNED);
    const session = await openSession({ cwd, uri });
    let hasChanged = false;
    session.events.on('run:batch', () => {
      if (hasChanged) return;
      hasChanged = true;
      void db.collection<{ _id: number }>('owners').updateOne({ _id: 1 }, { $set: { name: 'Ada Lovelace' } });
    });
    const result = await startRun(session, 'm1', { batchSize: 50, workers: 1 }).result;
    expect(result.state).toBe('completed');
    expect(await contacts.distinct('ownerName')).toEqual(['Ada Lovelace', 'Bob']);
    expect(await contacts.countDocuments({ ownerName: 'Ada Lovelace' })).toBe(300);
    const back = await startRollback(session, 'm1').result;
    expect(back.conflicts).toBe(0);
    expect(await contacts.countDocuments({ ownerName: { $exists: true } })).toBe(0);
    await closeSession(session);
  });

  test.each<[string, string | null, () => Promise<() => Promise<unknown>>]>([
    [
      'a view',
      'Ada Lovelace',
      async () => {
        const people = db.collection<{ _id: number; name: string }>('people');
        await people.insertOne({ _id: 1, name: 'Ada' });
        await db.createCollection('owners', { viewOn: 'people', pipeline: [] });
        return () => people.updateOne({ _id: 1 }, { $set: { name: 'Ada Lovelace' } });
      },
    ],
    [
      'a time series',
      null,
      async () => {
        const timeseries = { timeField: 'at', metaField: 'meta' };
        const owners = await db.createCollection<Document>('owners', { timeseries });
        await owners.insertOne({ _id: 1, at: new Date(), meta: 1, name: 'Ada' } as Document);
        return () => owners.deleteMany({ meta: 1 });
      },
    ],
  ])(
    'tells nothing of what %s shows: all documents that look something up there go through again at the end',
    async (_what, ownerName, make) => {
      const change = await make();
      await contacts.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id, owner: 1 })));
      const session = await openSession({ cwd: await project(OWNED), uri });
      let hasChanged: Promise<unknown> | undefined;
      session.events.on('run:batch', () => {
        hasChanged ??= change();
      });
      expect((await startRun(session, 'm1', { batchSize: 50, workers: 1 }).result).state).toBe('completed');
      expect((await hasChanged) as object).toMatchObject({ acknowledged: true });
      expect(await contacts.countDocuments({ ownerName } as object)).toBe(200);
      await closeSession(session);
    },
  );

  test('finds nobody by a key that the migration removes: a dry run says so', async () => {
    await db.collection<{ _id: number; name: string }>('owners').insertOne({ _id: 1, name: 'Ada' });
    await contacts.insertOne({ _id: 1, owner: 1 });
    const removing = OWNED.replace('...doc,', '_id: doc._id,').replace('lookup.owner', 'doc.ownerName ?? lookup.owner');
    const session = await openSession({ cwd: await project(removing), uri });
    const { warnings } = (await dryRun(session, 'm1')).report;
    expect(warnings).toEqual([
      'lookup: contacts.owner is changed or removed, so documents that are through keep what they read in owners when that changes later in the run',
    ]);
    await closeSession(session);
  });

  test.each(['v: { $ne: 2 }', "$or: [{ v: 1 }, { $expr: { $eq: ['$v', '$$ROOT.w'] } }]", "$expr: { $ne: ['$v', 2] }"])(
    'does not ask those again whom the filter (%s) no longer chooses: a dry run says so',
    async (filter) => {
      await db.collection<{ _id: number; name: string }>('owners').insertOne({ _id: 1, name: 'Ada' });
      await contacts.insertOne({ _id: 1, owner: 1, v: 1 });
      const guarded = OWNED.replace('lookup: {', `filter: { ${filter} }, lookup: {`).replace(
        '...doc,',
        '...doc, v: 2,',
      );
      const session = await openSession({ cwd: await project(guarded), uri });
      const { warnings } = (await dryRun(session, 'm1')).report;
      expect(warnings).toEqual([
        `lookup: the filter chooses by contacts.v, which is changed: documents that it no longer chooses keep what they read in owners when that changes later in the run`,
      ]);
      await closeSession(session);
    },
  );

  test.each<[string, (owners: Collection<Owner>) => Promise<unknown>]>([
    ['is another', (owners) => owners.updateOne({ no: 1 }, { $set: { no: 9 } })],
    ['is gone', (owners) => owners.updateOne({ no: 1 }, { $unset: { no: '' } })],
    ['is another in what replaces it', (owners) => owners.replaceOne({ no: 1 }, { no: 9, name: 'Ada' })],
    ['is no longer one of several', (owners) => owners.updateOne({ name: 'Eve' }, { $pull: { no: 3 } } as object)],
  ])(
    'sends all documents through again at the end when the key of a looked-up one %s',
    { tags: ['F50', 'P7'] },
    async (_what, write) => {
      const owners = db.collection<Owner>('owners');
      await owners.insertMany([
        { no: 1, name: 'Ada' },
        { no: 2, name: 'Bob' },
        { no: [3, 4], name: 'Eve' },
      ]);
      await contacts.insertMany(Array.from({ length: 600 }, (_, _id) => ({ _id, owner: 1 + (_id % 3) })));
      const cwd = await project(OWNED.replace("foreignField: '_id'", "foreignField: 'no'"));
      const session = await openSession({ cwd, uri });
      let hasChanged: Promise<unknown> | undefined;
      session.events.on('run:batch', () => {
        hasChanged ??= write(owners);
      });
      expect((await startRun(session, 'm1', { batchSize: 50, workers: 1 }).result).state).toBe('completed');
      expect((await hasChanged) as object).toMatchObject({ modifiedCount: 1 });
      const names = new Map(
        (await owners.find().toArray()).flatMap(({ no, name }) => [no].flat().map((n) => [n, name])),
      );
      const wrong = (await contacts.find().toArray()).filter(({ owner, ownerName }) => names.get(owner) !== ownerName);
      expect(wrong).toEqual([]);
      await closeSession(session);
    },
  );

  test('tells of writes whose events are too large to be told whole, and of thousands in one transaction', {
    tags: ['F37', 'P7'],
  }, async () => {
    await fill(5_000);
    const big = (mail: string): object => ({ mail, big: Buffer.alloc(9 * 1024 * 1024, mail) });
    await contacts.insertOne({ _id: -1, ...big('FIRST') });
    const cwd = await project(LOWER);
    const session = await openSession({ cwd, uri });
    const notes: string[] = [];
    session.events.on('run:note', ({ note }) => notes.push(note));
    let wrote: Promise<unknown> | undefined;
    const write = async (): Promise<void> => {
      await contacts.replaceOne({ _id: -1 }, big('SECOND'));
      await client.withSession((own) =>
        own.withTransaction(() =>
          contacts.bulkWrite(
            Array.from({ length: 5_000 }, (_, n) => ({
              updateOne: { filter: { _id: n * 2 }, update: { $set: { mail: `AGAIN${n}` } } },
            })),
            { session: own, ordered: false },
          ),
        ),
      );
    };
    session.events.on('run:batch', () => {
      wrote ??= write();
    });
    // Hooks in before the end of the chunks: the batches meet the transaction, and wait for it.
    const result = await startRun(session, 'm1', { batchSize: 100 }).result;
    await wrote;
    expect(result.state).toBe('completed');
    expect(notes.filter((note) => note.includes('change stream'))).toEqual([]);
    const shaped = { $or: [{ mail: /^again/ }, { mail: 'second' }] };
    const late = await contacts.countDocuments({ mail: /[A-Z]/ });
    // The run may have ended before the transaction did; it is then after it.
    expect([await contacts.countDocuments(shaped), late]).toEqual([5_001 - late, late === 0 ? 0 : 5_000]);
    await closeSession(session);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['dropped', () => db.collection('contacts').drop()],
    ['renamed', () => db.collection('contacts').rename('contacts_old')],
  ])('stops the run when its collection is %s', async (_what, act) => {
    await fill(4_000);
    const cwd = await project(LOWER);
    const session = await openSession({ cwd, uri });
    let acted: Promise<unknown> | undefined;
    session.events.on('run:batch', () => {
      acted ??= sleep(5).then(() => act());
    });
    await expect(startRun(session, 'm1', { batchSize: 20 }).result).rejects.toMatchObject({
      code: 'GODWIT_TARGET_REPLACED',
    });
    await acted;
    expect((await db.collection('migrations').findOne({ current: true }))?.['state']).toBe('failed');
    await closeSession(session);
  });
});
