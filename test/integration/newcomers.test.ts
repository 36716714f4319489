import { describe, expect, test } from 'vitest';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';

interface Contact {
  _id: number;
  v?: number;
  mail: string;
}

const migration = (options: string): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, transform } from 'godwit';
export default defineMigration({
  description: 'a test',
  steps: [transform({ collection: 'contacts', ${options}, up: (doc) => ({ ...doc, mail: doc.mail.toLowerCase(), v: 2 }) })],
});
`,
  });

describe('documents that came after a run', () => {
  const { db, uri } = useDatabase('newcomers');
  const contacts = db.collection<Contact>('contacts');

  /** Every third document is in the new shape already: a filter does not choose it. */
  const fill = (): Promise<unknown> =>
    contacts.insertMany(
      Array.from({ length: 600 }, (_, n) => ({ _id: n * 2, mail: `P${n}@X.test`, ...(n % 3 === 0 ? { v: 2 } : {}) })),
    );
  const arrive = (): Promise<unknown> =>
    contacts.insertMany(Array.from({ length: 100 }, (_, n) => ({ _id: n * 14 + 1, mail: `new${n}@x.test`, v: 2 })));

  test.each([
    ['with a filter', 'filter: { v: { $ne: 2 } }'],
    ['without a filter', 'all: true'],
  ])('are listed by a rollback and left as they are, %s', async (_what, options) => {
    await fill();
    const cwd = await migration(options);
    const session = await openSession({ cwd, uri });
    try {
      expect((await startRun(session, 'm1', { batchSize: 50 }).result).state).toBe('completed');
      await arrive();
      const dry = await startRollback(session, 'm1', { dryRun: true }).result;
      const back = await startRollback(session, 'm1').result;
      expect([dry.noBefore, back.noBefore]).toEqual([100, 100]);
      expect(back.noBeforeList.map(({ id }) => Number(id.value)).every((id) => id % 2 === 1)).toBe(true);
      expect(back.identical).toBe(false);
      expect(await contacts.countDocuments({ mail: /^new/, v: 2 })).toBe(100);
    } finally {
      await closeSession(session);
    }
  });

  test('are taken back by down() when the migration has one, once', async () => {
    await fill();
    const cwd = await migration(
      'filter: { v: { $ne: 2 } }, down: ({ v, ...doc }) => (v === 2 ? { ...doc, mail: doc.mail.toUpperCase() } : { ...doc })',
    );
    const session = await openSession({ cwd, uri });
    try {
      await startRun(session, 'm1').result;
      await arrive();
      const back = await startRollback(session, 'm1').result;
      expect([back.byDown, back.noBefore]).toEqual([100, 0]);
      expect(await contacts.countDocuments({ mail: /^NEW/, v: { $exists: false } })).toBe(100);
      const hash = await dataHash(db);
      await startRollback(session, 'm1', { onConflict: 'force' }).result;
      expect(await dataHash(db)).toEqual(hash);
    } finally {
      await closeSession(session);
    }
  });

  test('a filter that chooses little reads wide windows and misses nothing', async () => {
    await contacts.insertMany(
      Array.from({ length: 10_000 }, (_, _id) => ({ _id, mail: `P${_id}@X.test`, v: _id % 1_000 === 999 ? 1 : 2 })),
    );
    const before = await dataHash(db);
    const cwd = await migration('filter: { v: 1 }');
    const session = await openSession({ cwd, uri });
    try {
      const result = await startRun(session, 'm1').result;
      expect(result).toMatchObject({ state: 'completed', scanned: 10, changed: 10 });
      expect(result.batches).toBeLessThan(10);
      const back = await startRollback(session, 'm1').result;
      expect(back).toMatchObject({ restored: 10, noBefore: 0, identical: true });
      expect(await dataHash(db)).toEqual(before);
    } finally {
      await closeSession(session);
    }
  });
});
