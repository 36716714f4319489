import { describe, expect, test } from 'vitest';
import { useDatabase } from '../support/database.js';
import { runProcessJson } from '../support/process.js';
import { makeMigration } from '../support/project.js';

describe('an error that escapes from up()', () => {
  const { db, uri } = useDatabase('escape');
  const people = db.collection<{ _id: number; mark?: string }>('people');

  test.each([
    ['a promise that nobody waits for', "Promise.reject(new Error('lost'))", 'GODWIT_TRANSFORM_ESCAPED'],
    ['a timer that throws', "setTimeout(() => { throw new Error('late'); }, 1)", 'GODWIT_TRANSFORM_ESCAPED'],
    ['a call of process.exit', 'process.exit(0)', 'GODWIT_TRANSFORM_THREW'],
  ])('ends the run as failed, never as done: %s', { tags: ['F12', 'P10'] }, async (_what, code, expected) => {
    await people.insertMany(Array.from({ length: 400 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(`(doc) => { if (doc._id === 100) ${code}; return { ...doc, mark: 'x' }; }`);
    // A process: who hears of such an error is the process that it happens in.
    const result = await runProcessJson(['run', 'm1', '--batch-size', '20'], { cwd, uri });
    expect([result.code, (result.json['error'] as { code: string }).code]).toEqual([1, expected]);
    const run = await db.collection('migrations').findOne({ current: true });
    expect([run?.['state'], run?.['lease']]).toEqual(['failed', null]);
    const audited = await db
      .collection('migrations_audit')
      .aggregate<{ n: number }>([{ $group: { _id: null, n: { $sum: '$n' } } }])
      .toArray();
    expect(await people.countDocuments({ mark: 'x' })).toBe(audited[0]?.n);
  });
});
