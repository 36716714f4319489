import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runJson } from '../support/command.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

interface Person {
  _id: number;
  mail?: string | null;
  mended?: boolean;
}

const UP = `(doc, { reject }) => (doc.mail ? { ...doc, mail: doc.mail.toLowerCase() } : reject('no mail'))`;

describe('documents in quarantine', () => {
  const { db, uri } = useDatabase('retry');
  const people = db.collection<Person>('people');
  const failures = db.collection('migrations_failures');

  const fill = (): Promise<unknown> =>
    people.insertMany(
      Array.from({ length: 300 }, (_, _id) => ({ _id, mail: _id % 100 === 7 ? null : `P${_id}@X.test` })),
    );

  test('are taken up again once the document is mended, and leave the quarantine', async () => {
    await fill();
    const cwd = await makeMigration(UP);
    const ran = await runJson(['run', 'm1', '--max-failures', '3'], { cwd, uri });
    expect(ran.code).toBe(4);
    expect(ran.json).toMatchObject({ state: 'completed', changed: 297, failed: 3, scanned: 300 });

    await people.updateOne({ _id: 7 }, { $set: { mail: 'Seven@X.test' } });
    await people.deleteOne({ _id: 107 });
    const again = await runJson(['retry', 'm1', '--max-failures', '3'], { cwd, uri });
    expect(again.code).toBe(4);
    expect(again.json).toMatchObject({ state: 'completed', changed: 298, failed: 1, scanned: 299 });
    expect(await people.findOne({ _id: 7 })).toEqual({ _id: 7, mail: 'seven@x.test' });
    expect(await failures.distinct('documentId')).toEqual([207]);

    await people.updateOne({ _id: 207 }, { $set: { mail: 'X@X.test' } });
    const last = await runJson(['retry', 'm1'], { cwd, uri });
    expect(last.code).toBe(0);
    expect(last.json).toMatchObject({ state: 'completed', changed: 299, failed: 0, scanned: 299 });
    expect(await failures.countDocuments()).toBe(0);
    expect((await runJson(['verify', 'm1'], { cwd, uri })).code).toBe(0);
  });

  test('are taken up again once the migration is mended and amended, and roll back with the rest', async () => {
    await fill();
    const before = await dataHash(db);
    const cwd = await makeMigration(UP);
    expect((await runJson(['run', 'm1', '--max-failures', '3'], { cwd, uri })).code).toBe(4);
    await writeFile(
      join(cwd, 'scripts/migrations/m1.mjs'),
      `import { defineMigration, transform } from 'godwit';
export default defineMigration({
  description: 'mended',
  steps: [transform({ collection: 'people', up: (doc) => ({ ...doc, mail: doc.mail?.toLowerCase() ?? 'unknown' }) })],
});
`,
    );
    expect((await runJson(['retry', 'm1'], { cwd, uri })).json).toMatchObject({ error: { code: 'GODWIT_CHECKSUM' } });
    await runJson(['amend', 'm1', '--because', 'mail may be missing'], { cwd, uri });
    const again = await runJson(['retry', 'm1'], { cwd, uri });
    expect(again.json).toMatchObject({ state: 'completed', changed: 300, failed: 0, scanned: 300 });
    const back = await runJson(['rollback', 'm1'], { cwd, uri });
    expect(back.json).toMatchObject({ restored: 300, identical: true });
    expect(await dataHash(db)).toEqual(before);
  });

  test('must be there: a retry without any is refused', async () => {
    await people.insertOne({ _id: 1, mail: 'A@x.test' });
    const cwd = await makeMigration(UP);
    const never = await runJson(['retry', 'm1'], { cwd, uri });
    expect([never.code, never.json]).toMatchObject([2, { error: { code: 'GODWIT_NOT_RUN' } }]);
    await runJson(['run', 'm1'], { cwd, uri });
    const none = await runJson(['retry', 'm1'], { cwd, uri });
    expect([none.code, none.json]).toMatchObject([2, { error: { code: 'GODWIT_USAGE' } }]);
  });
});
