import { Binary } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { amend } from '../../src/verbs/amend.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession, type Session } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

interface Stored {
  _id: string;
  seq: number;
  n: number;
  before: Binary;
}

describe('the audit', () => {
  const { db, uri } = useDatabase('chain');
  const people = db.collection<{ _id: number; mail: string }>('people');
  const audit = db.collection<Stored>('migrations_audit');

  async function ran(): Promise<Session> {
    await people.insertMany(Array.from({ length: 250 }, (_, _id) => ({ _id, mail: `P${_id}@X.test` })));
    const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })');
    const session = await openSession({ cwd, uri });
    expect((await startRun(session, 'm1', { batchSize: 50 }).result).state).toBe('completed');
    expect((await verify(session, 'm1')).ok).toBe(true);
    return session;
  }

  const brokenChains = async (session: Session): Promise<number | string | undefined> =>
    (await verify(session, 'm1')).checks.find(({ name }) => name.startsWith('audit chains'))?.found;

  test.each([1, 3, 5])('is found broken by verify when batch %i is gone', { tags: ['F54', 'P10'] }, async (seq) => {
    const session = await ran();
    await audit.deleteOne({ seq });
    expect(await brokenChains(session)).toBe(1);
    await closeSession(session);
  });

  test('is found broken when two batches are swapped', { tags: ['F54', 'P10'] }, async () => {
    const session = await ran();
    const [a, b] = await audit
      .find({ seq: { $in: [2, 3] } })
      .sort({ seq: 1 })
      .toArray();
    const { _id: idA, seq: seqA, ...restA } = a as Stored;
    const { _id: idB, seq: seqB, ...restB } = b as Stored;
    await audit.deleteMany({ _id: { $in: [idA, idB] } });
    await audit.insertMany([
      { _id: idA, seq: seqA, ...restB },
      { _id: idB, seq: seqB, ...restA },
    ]);
    expect(await brokenChains(session)).toBe(1);
    await closeSession(session);
  });

  test('whose batch is gone stops the rollback, until its loss is accepted: then the others are brought back', {
    tags: ['F54', 'P6'],
  }, async () => {
    const session = await ran();
    await audit.deleteMany({ seq: 3 });
    await expect(startRollback(session, 'm1').result).rejects.toMatchObject({ code: 'GODWIT_STATE_LOST' });
    expect(await amend(session, 'm1', 'the audit of one batch is gone')).toMatchObject({ state: 'restored' });
    const back = await startRollback(session, 'm1').result;
    expect(back).toMatchObject({
      state: 'rolled-back',
      restored: 100,
      alreadyBack: 100,
      noBefore: 50,
      identical: false,
    });
    expect(await people.countDocuments({ mail: /^P/ })).toBe(200);
    await closeSession(session);
  });

  test('is not trusted where it was edited: the rollback leaves that batch, lists it, and brings the others back', {
    tags: ['F54', 'P6'],
  }, async () => {
    const session = await ran();
    const second = await audit.findOne({ seq: 2 });
    const bytes = Buffer.from(second?.before.buffer ?? []);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    await audit.updateOne({ seq: 2 }, { $set: { before: new Binary(bytes) } });
    expect(await brokenChains(session)).toBe(1);
    const back = await startRollback(session, 'm1').result;
    expect(back).toMatchObject({ restored: 200, conflicts: 50, identical: false });
    expect(back.conflictList[0]?.because).toContain('changed outside Godwit');
    expect(await people.countDocuments({ mail: /^P/ })).toBe(200);
    expect(await people.countDocuments({ mail: /^p/ })).toBe(50);
    await closeSession(session);
  });
});
