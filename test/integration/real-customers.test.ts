import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { dryRun, isClean } from '../../src/verbs/dry-run.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { dataHash, useDatabase } from '../support/database.js';
import { readLines } from '../support/sample-data.js';

const PROJECT = fileURLToPath(new URL('../fixtures/real-customers', import.meta.url));
describe('the real customers of a bank', () => {
  const { db, uri } = useDatabase('real');

  test('are dry-run, migrated, verified, and brought back byte for byte', async () => {
    await db.collection('customers').insertMany(readLines('customers.json'));
    await db.collection('accounts').insertMany(readLines('accounts.json'));
    await db.collection('accounts').createIndex({ account_id: 1 });
    const before = await dataHash(db);
    const session = await openSession({ cwd: PROJECT, uri });
    try {
      const { report } = await dryRun(session, 'customers-v2');
      expect(isClean(report)).toBe(true);
      expect(report).toMatchObject({
        scanned: 500,
        wouldChange: 500,
        wouldFail: 0,
        disappearing: {},
        idempotent: true,
        deterministic: true,
      });
      expect(report.fields['accounts']?.types).toEqual({ 'array<int32> -> array<object>': 500 });
      expect(report.fields['address']?.typeChange).toBe(500);
      expect(await dataHash(db)).toEqual(before);

      const run = await startRun(session, 'customers-v2').result;
      expect(run).toMatchObject({ state: 'completed', scanned: 500, changed: 500, failed: 0 });
      const verified = await verify(session, 'customers-v2', { full: true });
      expect(verified.checks.filter(({ ok }) => !ok)).toEqual([]);
      expect((await dryRun(session, 'customers-v2')).report.wouldChange).toBe(0);
      const sample = await db.collection('customers').findOne({ username: 'fmiller' }, { promoteValues: false });
      expect(sample?.['accounts'][0]).toMatchObject({ number: { _bsontype: 'Int32' }, limit: { _bsontype: 'Int32' } });

      const back = await startRollback(session, 'customers-v2').result;
      expect(back).toMatchObject({ restored: 500, conflicts: 0, noBefore: 0, identical: true });
      expect(await dataHash(db)).toEqual(before);
      const { audit, oplog } = { audit: report.estimate.auditBytes, oplog: report.estimate.oplogBytes };
      console.log(
        `real customers: ${report.scanned} read, ${run.changed} changed (e-mail ${report.fields['email']?.set ?? 0}, active ${report.fields['active']?.set ?? 0}, address and accounts 500), ` +
          `second dry run 0, ${back.restored} restored; data ${report.bytesDelta} bytes, audit ${audit}, oplog ${oplog}; dbHash equal`,
      );
    } finally {
      await closeSession(session);
    }
  });
});
