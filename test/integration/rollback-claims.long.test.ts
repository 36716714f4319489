import type { Db, Document } from 'mongodb';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { type RollbackOptions, type RollbackResult, startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { carriedOut } from '../support/cases.js';
import { makeMigration } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

interface Contact extends Document {
  _id: number;
}

/** Lower-cases, removes, adds. */
const UP = '({ fax, ...doc }) => ({ ...doc, mail: doc.mail.toLowerCase(), v: 2 })';
const ONE = { _id: 1 };

/** What the application does after the run, to document 1 of three. */
const EDITS: readonly (readonly [string, (contacts: Contacts) => Promise<unknown>])[] = [
  ['nothing', async () => undefined],
  ['another field set', (contacts) => contacts.updateOne(ONE, { $set: { note: 'edited' } })],
  ['another field removed', (contacts) => contacts.updateOne(ONE, { $unset: { note: 1 } })],
  ['a field added', (contacts) => contacts.updateOne(ONE, { $set: { extra: 1 } })],
  ['a changed field set', (contacts) => contacts.updateOne(ONE, { $set: { mail: 'third@x.test' } })],
  ['a changed field removed', (contacts) => contacts.updateOne(ONE, { $unset: { mail: 1 } })],
  ['a changed field of another type', (contacts) => contacts.updateOne(ONE, { $set: { v: 2.5 } })],
  ['a removed field set', (contacts) => contacts.updateOne(ONE, { $set: { fax: 'new' } })],
  ['a removed field put back', (contacts) => contacts.updateOne(ONE, { $set: { fax: '1' } })],
  ['an added field removed', (contacts) => contacts.updateOne(ONE, { $unset: { v: 1 } })],
  [
    'all changed fields put back, in another order',
    (contacts) => contacts.updateOne(ONE, { $set: { fax: '1', mail: 'ADA@X.test' }, $unset: { v: 1 } }),
  ],
  [
    'all changed fields put back, and another one edited',
    (contacts) => contacts.replaceOne(ONE, { mail: 'ADA@X.test', fax: '1', note: 'edited' }),
  ],
  ['the whole document put back', (contacts) => contacts.replaceOne(ONE, { mail: 'ADA@X.test', fax: '1', note: 'n' })],
  ['the fields in another order', (contacts) => contacts.replaceOne(ONE, { v: 2, note: 'n', mail: 'ada@x.test' })],
  ['the document deleted', (contacts) => contacts.deleteOne(ONE)],
  ['a document inserted', (contacts) => contacts.insertOne({ _id: 0, mail: 'new@x.test', v: 2 })],
];

type Contacts = ReturnType<typeof contactsOf>;
const contactsOf = (db: Db) => db.collection<Contact>('people');

/** Edits of fields that the run changed: the ones that force overwrites. */
const isForced = ([what]: (typeof EDITS)[number]): boolean => /changed field|removed field|added field/.test(what);

const CASES: readonly { what: string; edit: (contacts: Contacts) => Promise<unknown>; options: RollbackOptions }[] = [
  ...EDITS.map(([what, edit]) => ({ what, edit, options: {} })),
  ...EDITS.filter(isForced).map(([what, edit]) => ({
    what: `${what}, forced`,
    edit,
    options: { onConflict: 'force' as const },
  })),
];

/** What was found, without what differs between looking and doing. */
function claims({ state: _state, dryRun: _dry, seconds: _seconds, ...rest }: RollbackResult): unknown {
  return JSON.parse(JSON.stringify(rest));
}

describe('a rollback predicts what it does, and says identical only where the bytes are', () => {
  const scratch = useScratch('claims', () => inject('mongoUri'));
  let cwd = '';
  beforeAll(async () => {
    cwd = await makeMigration(UP);
  });

  const outcome = carriedOut(CASES, async ({ edit, options }) => {
    const { db, uri } = scratch.make();
    const contacts = contactsOf(db);
    await contacts.insertMany([1, 2, 3].map((_id) => ({ _id, mail: 'ADA@X.test', fax: '1', note: 'n' })));
    const before = await hashOf(db, 'people');
    const session = await openSession({ cwd, uri });
    try {
      const { state } = await startRun(session, 'm1').result;
      await edit(contacts);
      const dry = await startRollback(session, 'm1', { ...options, dryRun: true }).result;
      const back = await startRollback(session, 'm1', options).result;
      const isSame = (await hashOf(db, 'people')) === before;
      return { state, dry, back, isSame, documents: await contacts.find({}, { sort: { _id: 1 } }).toArray() };
    } finally {
      await closeSession(session);
    }
  });

  test.each(CASES)('$what', (one) => {
    const { state, dry, back, isSame, documents } = outcome(one);
    expect(state).toBe('completed');
    expect(claims(back)).toEqual(claims(dry));
    expect(back.identical).toBe(isSame);
    const { restored, keptFields, alreadyBack, goneSince, conflicts } = back;
    expect(restored + keptFields + alreadyBack + goneSince + conflicts).toBe(3);
    // What the application wrote where the run had written is there and named, or it was to be overwritten.
    const first = documents.find(({ _id }) => _id === 1);
    const named = back.conflictList.flatMap(({ fields }) => fields);
    const kept = first
      ? [
          ...(first['mail'] === 'ADA@X.test' ? [] : ['mail']),
          ...(first['fax'] === '1' ? [] : ['fax']),
          ...('v' in first ? ['v'] : []),
        ]
      : [];
    if (one.options.onConflict === 'force') expect(kept).toEqual([]);
    else expect(kept.sort()).toEqual(named.sort());
    expect(documents.filter(({ _id }) => _id > 1)).toEqual(
      [2, 3].map((_id) => ({ _id, mail: 'ADA@X.test', fax: '1', note: 'n' })),
    );
  });
});
