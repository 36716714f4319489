/** What becomes of a bank's customers, whoever they are: made up for `npm test`, real ones for `npm run test:real`. */
import { fileURLToPath } from 'node:url';
import type { Db, Document } from 'mongodb';
import { expect } from 'vitest';
import { dryRun } from '../../src/verbs/dry-run.js';
import { isClean } from '../../src/verbs/dry-run-report.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import type { Bank } from './customer-documents.js';
import { bytesOf } from './customer-documents.js';
import { dataHash } from './database.js';
import { libraryAt } from './library.js';
import { makeProject } from './project.js';
import { rawInsert } from './raw-insert.js';
import { hashOf } from './scratch.js';

const PROJECT = fileURLToPath(new URL('../fixtures/bank', import.meta.url));

interface Place {
  readonly db: Db;
  readonly uri: string;
}

async function fill({ db, uri }: Place, { customers, accounts }: Bank): Promise<void> {
  for (const [name, documents] of Object.entries({ customers, accounts }))
    await rawInsert(uri, db.databaseName, name, documents.map(bytesOf));
  await db.collection('accounts').createIndex({ account_id: 1 });
}

/** Dry-run, migrated, verified, and brought back byte for byte. */
export async function expectCustomersThereAndBack(place: Place, bank: Bank): Promise<void> {
  const { db, uri } = place;
  const count = bank.customers.length;
  await fill(place, bank);
  const before = await dataHash(db);
  const session = await openSession({ cwd: PROJECT, uri });
  try {
    const { report } = await dryRun(session, 'customers-v2');
    expect(isClean(report)).toBe(true);
    expect(report).toMatchObject({
      ...{ scanned: count, wouldChange: count, wouldFail: 0, disappearing: {} },
      ...{ idempotent: true, deterministic: true },
    });
    expect(report.fields['accounts[]']?.types).toEqual({ 'int32 -> object': count });
    expect(report.fields['address']?.typeChange).toBe(count);
    expect(await dataHash(db)).toEqual(before);

    const run = await startRun(session, 'customers-v2').result;
    expect(run).toMatchObject({ state: 'completed', scanned: count, changed: count, failed: 0 });
    const verified = await verify(session, 'customers-v2', { full: true });
    expect(verified.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect((await dryRun(session, 'customers-v2')).report.wouldChange).toBe(0);
    const [{ username }] = bank.customers as [Document];
    const sample = await db.collection('customers').findOne({ username }, { promoteValues: false });
    expect(sample?.['accounts'][0]).toMatchObject({ number: { _bsontype: 'Int32' }, limit: { _bsontype: 'Int32' } });

    const back = await startRollback(session, 'customers-v2').result;
    expect(back).toMatchObject({ restored: count, conflicts: 0, noBefore: 0, identical: true });
    expect(await dataHash(db)).toEqual(before);
    const { audit, oplog } = { audit: report.estimate.auditBytes, oplog: report.estimate.oplogBytes };
    console.log(
      `customers: ${report.scanned} read, ${run.changed} changed (e-mail ${report.fields['email']?.set ?? 0}, active ${report.fields['active']?.set ?? 0}, address and accounts ${count}), ` +
        `second dry run 0, ${back.restored} restored; data ${report.bytesDelta} bytes, audit ${audit}, oplog ${oplog}; dbHash equal`,
    );
  } finally {
    await closeSession(session);
  }
}

/** Account numbers become `_id`s of the accounts; a number of two accounts is left and listed. */
export async function expectAccountsReferred(place: Place, bank: Bank): Promise<void> {
  const { db, uri } = place;
  const { customers, accounts } = bank;
  await fill(place, bank);
  const before = await hashOf(db, 'customers');
  const cwd = await makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, references } from 'godwit';
export default defineMigration({ description: 'a test', steps: [
  references({ collection: 'customers', path: 'accounts', to: 'accounts', by: 'account_id' }),
] });
`,
  });
  const m1 = libraryAt({ cwd, uri });

  const numbers = accounts.map(({ account_id }) => Number(account_id));
  const known = new Set(numbers);
  const twice = new Set(numbers.filter((number, index) => numbers.indexOf(number) !== index));
  const used = customers.flatMap(({ accounts: own }) => (own as unknown[]).map(Number));
  const several = used.filter((number) => twice.has(number)).length;
  const dangling = used.filter((number) => !known.has(number)).length;
  expect(several, 'a number of two accounts is used').toBeGreaterThan(0);

  expect(await m1.dryRun()).toMatchObject({
    wouldChange: customers.length,
    wouldFail: 0,
    idempotent: true,
    warnings: [],
    references: [{ keys: used.length - several - dangling, ids: 0, dangling, several }],
  });
  expect(await m1.run()).toMatchObject({ state: 'completed', changed: customers.length });

  const byNumber = new Map(accounts.map(({ account_id, _id }) => [Number(account_id), String(_id)]));
  const wanted = customers.map(({ _id, accounts: own }) => [
    String(_id),
    (own as unknown[]).map(Number).map((number) => (twice.has(number) ? String(number) : byNumber.get(number))),
  ]);
  const found = await db.collection('customers').find().toArray();
  expect(new Map(found.map(({ _id, accounts: own }) => [String(_id), own.map(String)]))).toEqual(
    new Map(wanted as [string, string[]][]),
  );
  expect(await m1.verify()).toMatchObject({ ok: true });
  expect(await m1.rollback()).toMatchObject({ restored: customers.length, identical: true });
  expect(await hashOf(db, 'customers')).toBe(before);
  console.log(
    `customers: ${used.length} account numbers, ${used.length - several - dangling} became _ids, ${several} name two accounts, ${dangling} none; identical after the rollback`,
  );
}
