import type { Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { runJson } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

interface Person extends Document {
  _id: number;
}

const AGE = { $or: [{ age: { $type: 'int' } }, { age: { $exists: false } }] };

describe('documents that the server refuses', () => {
  const { db, uri } = useDatabase('refused');
  const people = db.collection<Person>('people');
  const refusedIds = async (): Promise<unknown[]> =>
    (await db.collection('migrations_failures').distinct('documentId')).sort();

  /** Ids 7, 57, 107 … become invalid; id 3 was so before. */
  const UP = "(doc) => ({ ...doc, v: 2, ...(doc._id % 50 === 7 ? { age: 'old' } : {}) })";
  const fill = (): Promise<unknown> =>
    people.insertMany(
      Array.from({ length: 200 }, (_, _id) => ({ _id, age: _id === 3 ? 'bad' : _id })),
      { bypassDocumentValidation: true },
    );

  test.each([
    ['strict', 'error', [107, 157, 3, 57, 7]],
    ['moderate', 'error', [107, 157, 57, 7]],
    ['strict', 'warn', []],
    ['off', 'error', []],
  ])(
    'by a validator (%s, %s) are foreseen by the dry run, and quarantined by the run',
    { tags: ['F43'] },
    async (level, action, refused) => {
      await db.createCollection('people', { validator: AGE, validationLevel: level, validationAction: action });
      await fill();
      const cwd = await makeMigration(UP);
      const dry = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
      const foreseen = dry.json['validationFailures'] as { _id: { $numberInt: string } }[];
      expect([dry.code, foreseen.map(({ _id }) => Number(_id.$numberInt)).sort()]).toEqual([
        refused.length > 0 ? 4 : 0,
        refused,
      ]);
      const run = await runJson(['run', 'm1', '--max-failures', '10', '--batch-size', '80'], { cwd, uri });
      expect([run.code, run.json['changed'], run.json['failed']]).toEqual([
        refused.length > 0 ? 4 : 0,
        200 - refused.length,
        refused.length,
      ]);
      expect(await refusedIds()).toEqual(refused);
      expect(await people.countDocuments({ v: 2 })).toBe(200 - refused.length);
      const codes = await db.collection('migrations_failures').distinct('code');
      expect(codes).toEqual(refused.length > 0 ? ['GODWIT_VALIDATION'] : []);
    },
  );

  test('by a unique index are foreseen with both documents, and only the later ones are quarantined', {
    tags: ['F42'],
  }, async () => {
    await people.insertMany(
      Array.from({ length: 120 }, (_, _id) => ({
        _id,
        mail: _id % 40 === 1 ? `SAME@x.test${' '.repeat(_id)}` : `p${_id}@x.test`,
      })),
    );
    await people.createIndex({ mail: 1 }, { unique: true });
    const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.trim().toLowerCase() })');
    const dry = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    expect([dry.code, dry.json['uniqueCollisionCount']]).toEqual([4, 2]);
    const run = await runJson(['run', 'm1', '--max-failures', '5', '--workers', '1'], { cwd, uri });
    expect(run.json).toMatchObject({ state: 'completed', failed: 2 });
    expect(await refusedIds()).toEqual([41, 81]);
    expect((await people.findOne({ _id: 1 }))?.['mail']).toBe('same@x.test');
  });

  test('stop the run at the first one by default; the next run goes on behind it', async () => {
    await db.createCollection('people', { validator: AGE });
    await people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id, age: _id })));
    const cwd = await makeMigration(UP);
    const stops: unknown[] = [];
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const run = await runJson(['run', 'm1', '--batch-size', '80', '--workers', '1'], { cwd, uri });
      stops.push([run.code, run.json['state'], run.json['failed']]);
    }
    expect(stops).toEqual([
      [1, 'failed', 1],
      [1, 'failed', 2],
      [1, 'failed', 3],
      [1, 'failed', 4],
      [4, 'completed', 4],
    ]);
    expect(await people.countDocuments({ v: 2 })).toBe(196);
    const entries = await db
      .collection('migrations_audit')
      .aggregate<{ n: number }>([{ $group: { _id: null, n: { $sum: '$n' } } }])
      .toArray();
    expect(entries[0]?.n).toBe(196);
  });
});
