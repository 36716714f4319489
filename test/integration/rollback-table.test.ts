import type { Db, Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { type RollbackOptions, type RollbackResult, startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession, type Session } from '../../src/verbs/session.js';
import { dataHash } from '../support/database.js';
import { makeProject } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

interface Contact extends Document {
  _id: number;
}

const BEFORE = { mail: 'Ada@X.test', fax: '1', first: 'Ada', note: 'n' };
const AFTER = { mail: 'ada@x.test', note: 'n', name: 'Ada' };

/** Lower-cases, removes, renames: one field of each kind. */
const UP = `({ fax, first, ...doc }) => ({ ...doc, mail: doc.mail.toLowerCase(), ...(first === undefined ? {} : { name: first }) })`;

const project = (options = ''): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [transform({ collection: 'contacts', up: ${UP}, ${options} })] });
`,
  });

/** A row of the table: what the application does after the run, and what a rollback makes of it. */
interface Row {
  readonly what: string;
  readonly act?: (contacts: ReturnType<typeof collectionOf>) => Promise<unknown>;
  readonly options?: RollbackOptions;
  readonly down?: string;
  readonly counts: Partial<RollbackResult>;
  readonly ends: Document | null;
}

const collectionOf = (db: Db) => db.collection<Contact>('contacts');
const ONE = { _id: 1 };

const ROWS: readonly Row[] = [
  { what: 'as the run left it: the exact before image', counts: { restored: 2, identical: true }, ends: BEFORE },
  {
    what: 'another field edited since: the edit is kept',
    act: (contacts) => contacts.updateOne(ONE, { $set: { note: 'edited' } }),
    counts: { restored: 1, keptFields: 1, conflicts: 0, identical: false },
    ends: { mail: 'Ada@X.test', note: 'edited', fax: '1', first: 'Ada' },
  },
  {
    what: 'a field that the run changed edited since: kept, listed as a conflict, the others go back',
    act: (contacts) => contacts.updateOne(ONE, { $set: { mail: 'new@x.test' } }),
    counts: { restored: 1, conflicts: 1, identical: false },
    ends: { mail: 'new@x.test', note: 'n', fax: '1', first: 'Ada' },
  },
  {
    what: 'the same, forced: overwritten',
    act: (contacts) => contacts.updateOne(ONE, { $set: { mail: 'new@x.test' } }),
    options: { onConflict: 'force' },
    counts: { restored: 1, overwritten: 1, keptFields: 0, conflicts: 0 },
    ends: { mail: 'Ada@X.test', note: 'n', fax: '1', first: 'Ada' },
  },
  {
    what: 'the same with a down(): it decides',
    act: (contacts) => contacts.updateOne(ONE, { $set: { mail: 'new@x.test' } }),
    down: "down: ({ name, ...doc }) => ({ ...doc, mail: doc.mail.toUpperCase(), first: name, fax: '?' })",
    counts: { restored: 1, keptFields: 1, conflicts: 0 },
    ends: { mail: 'NEW@X.TEST', note: 'n', first: 'Ada', fax: '?' },
  },
  {
    what: 'a field put back by the application already',
    act: (contacts) => contacts.updateOne(ONE, { $set: { mail: 'Ada@X.test' } }),
    counts: { restored: 1, keptFields: 1, conflicts: 0 },
    ends: { mail: 'Ada@X.test', note: 'n', fax: '1', first: 'Ada' },
  },
  {
    what: 'the whole document put back by the application already',
    act: (contacts) => contacts.replaceOne(ONE, BEFORE),
    counts: { restored: 1, alreadyBack: 1, conflicts: 0 },
    ends: BEFORE,
  },
  {
    what: 'deleted since: stays deleted',
    act: (contacts) => contacts.deleteOne(ONE),
    counts: { restored: 1, goneSince: 1, identical: false },
    ends: null,
  },
  {
    what: 'inserted since in the new shape: listed',
    act: (contacts) => contacts.insertOne({ _id: 3, ...AFTER }),
    counts: { restored: 2, noBefore: 1, identical: false },
    ends: BEFORE,
  },
  {
    what: 'a validator that refuses the old shape: bypassed where the user may',
    act: (contacts) => contacts.db.command({ collMod: 'contacts', validator: { fax: { $exists: false } } }),
    counts: { restored: 2, conflicts: 0, identical: true },
    ends: BEFORE,
  },
  {
    what: 'a unique index that refuses the old value: a conflict that names it',
    act: async (contacts) => {
      await contacts.insertOne({ _id: 9, fax: '1' });
      await contacts.createIndex(
        { fax: 1 },
        { unique: true, name: 'one_fax', partialFilterExpression: { fax: { $exists: true } } },
      );
    },
    counts: { restored: 1, conflicts: 1, noBefore: 1 },
    ends: AFTER,
  },
];

describe.concurrent('a rollback', () => {
  const scratch = useScratch('table', () => inject('mongoUri'));

  interface Place {
    readonly db: Db;
    readonly contacts: ReturnType<typeof collectionOf>;
    readonly session: Session;
    /** The documents before the run. */
    readonly before: Record<string, string>;
  }

  /** A database with these documents, and a session of this project on it. */
  async function at(cwd: string, documents: readonly Contact[], work: (place: Place) => Promise<void>): Promise<void> {
    const { db, uri } = scratch.make();
    const contacts = collectionOf(db);
    await contacts.insertMany([...documents]);
    const before = await dataHash(db);
    const session = await openSession({ cwd, uri });
    try {
      await work({ db, contacts, session, before });
    } finally {
      await closeSession(session);
    }
  }

  const TWO: readonly Contact[] = [
    { _id: 1, ...BEFORE },
    { _id: 2, ...BEFORE, fax: '2' },
  ];

  /** The same behind a run. */
  const ran = (cwd: string, work: (place: Place) => Promise<void>): Promise<void> =>
    at(cwd, TWO, async (place) => {
      expect((await startRun(place.session, 'm1').result).state).toBe('completed');
      await work(place);
    });

  test.each(ROWS)('$what', { tags: ['P6'] }, async ({ act, options = {}, down = '', counts, ends }) => {
    await ran(await project(down), async ({ db, contacts, session, before }) => {
      await act?.(contacts);
      const hash = await dataHash(db);
      const dry = await startRollback(session, 'm1', { ...options, dryRun: true }).result;
      expect(await dataHash(db)).toEqual(hash);
      const back = await startRollback(session, 'm1', options).result;
      expect(back).toMatchObject(counts);
      expect(await contacts.findOne(ONE, { projection: { _id: 0 } })).toEqual(ends);
      const after = await dataHash(db);
      // It may not say so where the bytes are others.
      if (back.identical) expect(after).toEqual(before);
      if (!/validator|unique/.test(String(act))) {
        const { state, dryRun, seconds, ...predicted } = dry;
        expect(predicted).toMatchObject(counts);
        expect(JSON.parse(JSON.stringify(back))).toMatchObject(JSON.parse(JSON.stringify(predicted)));
      }
      // Once more changes nothing.
      await startRollback(session, 'm1').result;
      expect(await dataHash(db)).toEqual(after);
    });
  });

  test('names the unique index of a conflict, and the documents stay whole', async () => {
    await ran(await project(), async ({ contacts, session }) => {
      await ROWS.at(-1)?.act?.(contacts);
      const back = await startRollback(session, 'm1').result;
      expect(back.conflictList.map(({ because }) => because).join()).toContain('one_fax');
      expect(back.conflictList[0]?.otherId?.text(true)).toBe('9');
    });
  });

  test('of single documents leaves the others and the state of the run', async () => {
    await ran(await project(), async ({ contacts, session }) => {
      const one = await startRollback(session, 'm1', { only: '1' }).result;
      expect(one).toMatchObject({ restored: 1, state: 'completed' });
      expect(await contacts.findOne(ONE, { projection: { _id: 0 } })).toEqual(BEFORE);
      expect(await contacts.findOne({ _id: 2 })).toMatchObject(AFTER);
      await expect(startRollback(session, 'm1', { only: '77' }).result).rejects.toMatchObject({
        code: 'GODWIT_DOCUMENT_UNKNOWN',
      });
      expect(await startRollback(session, 'm1').result).toMatchObject({ restored: 1, alreadyBack: 1, identical: true });
    });
  });

  test('of a canary touches only what the canary changed; and forwards again works, and back again', async () => {
    const documents = Array.from({ length: 50 }, (_, _id) => ({ _id, ...BEFORE }));
    await at(await project(), documents, async ({ db, contacts, session, before }) => {
      expect(await startRun(session, 'm1', { limit: 10 }).result).toMatchObject({ state: 'stopped', changed: 10 });
      expect(await contacts.countDocuments({ name: { $exists: true } })).toBe(10);
      expect(await startRollback(session, 'm1').result).toMatchObject({ restored: 10, noBefore: 0, identical: true });
      expect(await dataHash(db)).toEqual(before);
      for (let round = 0; round < 2; round += 1) {
        expect(await startRun(session, 'm1').result).toMatchObject({ state: 'completed', changed: 50 });
        expect(await startRollback(session, 'm1').result).toMatchObject({ restored: 50, identical: true });
        expect(await dataHash(db)).toEqual(before);
      }
    });
  });

  test('goes through the steps backwards, each with its collection', async () => {
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { defineMigration, transform } from 'godwit';
const up = ${UP};
export default defineMigration({ description: 'two', steps: [transform({ collection: 'contacts', up }), transform({ collection: 'leads', up })] });
`,
    });
    await at(cwd, TWO, async ({ db, session }) => {
      await db.collection<Contact>('leads').insertOne({ _id: 1, ...BEFORE });
      const before = await dataHash(db);
      expect((await startRun(session, 'm1').result).state).toBe('completed');
      expect(await db.collection<Contact>('leads').findOne(ONE)).toMatchObject(AFTER);
      expect(await startRollback(session, 'm1').result).toMatchObject({ restored: 3, identical: true });
      expect(await dataHash(db)).toEqual(before);
    });
  });
});
