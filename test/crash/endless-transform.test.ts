import { describe, expect, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { brokenHistory, brokenSums, currentRun, openTransactions } from '../support/observe.js';
import { makeMigration } from '../support/project.js';

const BAD = 70;
const ENDLESS = `(doc) => { if (doc._id === ${BAD}) for (;;); return { ...doc, mark: 'x' }; }`;

describe('a transform that never returns', () => {
  const { db, uri } = useDatabase('endless');
  const people = db.collection<{ _id: number; mark?: string }>('people');
  const args = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--progress', 'none'];
  const env = { GODWIT_TRANSFORM_TIMEOUT_MS: '300' };

  test('ends the run with exit 1 and the document named; those before it are written, and nothing is left open', {
    tags: ['F13', 'P10'],
  }, async () => {
    await people.insertMany(Array.from({ length: 200 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(ENDLESS);
    const { code, json } = await runJson(args, { cwd, uri, env });
    expect([code, json]).toMatchObject([
      1,
      {
        state: 'failed',
        changed: BAD,
        failed: 1,
        error: { code: 'GODWIT_TRANSFORM_TIMEOUT', details: { document: { $numberInt: String(BAD) } } },
      },
    ]);
    const run = await currentRun(db);
    expect([run.state, run.lease, await openTransactions(db)]).toEqual(['failed', null, 0]);
    expect(await people.countDocuments({ mark: 'x', _id: { $lt: BAD } })).toBe(BAD);
    expect([await people.countDocuments({ mark: 'x' }), await audited(db)]).toEqual([BAD, BAD]);
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
    const failures = await db.collection('migrations_failures').find().toArray();
    expect(failures).toMatchObject([{ code: 'GODWIT_TRANSFORM_TIMEOUT', documentId: BAD }]);
  });

  test('names the document for a person, too', async () => {
    await people.insertMany(Array.from({ length: 100 }, (_, _id) => ({ _id })));
    const { code, stdout, stderr } = await runCommand(args, { cwd: await makeMigration(ENDLESS), uri, env });
    expect(code).toBe(1);
    expect(stderr).toContain('GODWIT_TRANSFORM_TIMEOUT');
    expect(`${stdout}${stderr}`).toMatch(/\b70\b/);
  });
});
