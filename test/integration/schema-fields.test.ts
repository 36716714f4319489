/** Fields under other names, on a real server: the very same values, and back to the same bytes. */
import { Decimal128, Double, Long, UUID } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { dryRun } from '../../src/verbs/dry-run.js';
import { isClean } from '../../src/verbs/dry-run-report.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

const STEPS = `
  schema.renameField({ collection: 'people', from: 'mail', to: 'email' }),
  schema.renameField({ collection: 'people', from: 'city', to: 'address.city' }),
  transform({ collection: 'people', up: (doc) => ({ ...doc, v: 2 }) })`;

describe('a renamed field', () => {
  const scratch = useScratch('fields', () => inject('mongoUri'));

  test('keeps its value and type, also in another object, and comes back', async () => {
    const { db, uri } = scratch.make();
    const values = [
      'text',
      new Double(1),
      new Long(7),
      Decimal128.fromString('5.00'),
      new UUID(),
      null,
      { deep: [new Double(2), { x: 1 }] },
      [1, 'two'],
    ];
    const people = values.map((mail, _id) => ({ _id, mail, n: 1, city: new Double(3), address: { zip: new Long(1) } }));
    await db.collection<{ _id: number }>('people').insertMany([...people, { _id: 90, n: 1 }] as never);
    await db.collection<{ _id: number }>('people').insertOne({ _id: 91, mail: 1, email: 2 } as never);
    const before = await hashOf(db, 'people');
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { defineMigration, schema, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${STEPS}] });
`,
    });
    const session = await openSession({ cwd, uri });
    try {
      const { report } = await dryRun(session, 'm1');
      expect([isClean(report), report.wouldChange, report.wouldFail]).toEqual([false, values.length + 1, 1]);
      expect(report).toMatchObject({ idempotent: true, deterministic: true, disappearing: {} });
      const run = await startRun(session, 'm1', { maxFailures: 1 }).result;
      expect(run).toMatchObject({ state: 'completed', changed: values.length + 1, failed: 1 });
      const found = await db.collection('people').find({}, { promoteValues: false }).sort({ _id: 1 }).toArray();
      for (const [at, value] of values.entries()) {
        const names = Object.keys(found[at] ?? {});
        expect(names).toEqual(['_id', 'n', 'address', 'email', 'v']);
        expect(found[at]?.['email']?._bsontype).toBe((value as { _bsontype?: string } | null)?._bsontype);
        expect(found[at]?.['address']).toMatchObject({ zip: new Long(1), city: new Double(3) });
      }
      expect(await db.collection('people').countDocuments({ email: { $type: 'decimal' } })).toBe(1);
      expect(await db.collection('migrations_failures').findOne()).toMatchObject({
        documentId: 91,
        message: expect.stringMatching(/^step 1 of people: .*wanted one of "mail" and "email", found both/) as unknown,
      });
      expect((await verify(session, 'm1')).checks.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual([
        'documents in quarantine',
      ]);
      const back = await startRollback(session, 'm1').result;
      expect(back).toMatchObject({ restored: values.length + 1, conflicts: 0, identical: true });
      expect(await hashOf(db, 'people')).toBe(before);
    } finally {
      await closeSession(session);
    }
  });
});
