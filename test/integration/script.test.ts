/** A script's own words, through the one write path: looked at beforehand, run once more after a stop, taken back. */
import { describe, expect, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { brokenInvariants } from '../support/crash.js';
import { brokenHistory, brokenSums } from '../support/observe.js';
import { type Doc, useScripted } from './scripted.js';

describe.concurrent('a script', () => {
  const place = useScripted('script');

  test('is told beforehand, done, proved, and taken back to the byte', { tags: ['P1', 'P6'] }, async () => {
    const { db, m1, hashes } = await place();
    const before = await hashes();
    expect(await m1.dryRun()).toMatchObject({
      ...{ wouldInsert: 2, wouldChange: 82, wouldDelete: 1, wouldFail: 0, idempotent: true, deterministic: true },
      fields: { 'people.teamId': { set: 40 }, 'people.name': { set: 40 }, 'attic.m': { unset: 1 } },
      disappearing: { m: 1 },
    });
    expect(await hashes()).toEqual(before);
    // Written twice: by a function, and inside the server.
    expect(await m1.run({ batchSize: 7 })).toMatchObject({ state: 'completed', inserted: 2, changed: 82, deleted: 1 });
    expect(await db.collection('teams').find().toArray()).toEqual([
      { _id: 0, name: 'blue' },
      { _id: 1, name: 'red' },
    ]);
    expect(await db.collection<Doc>('people').findOne({ _id: 3 })).toEqual({
      ...{ _id: 3, name: 'P3', team: 'red', teamId: 1 },
    });
    expect(await db.collection('attic').find().toArray()).toEqual([{ _id: 'kept', n: 2 }]);
    expect(await m1.verify()).toMatchObject({ ok: true });
    for (const broken of [await brokenInvariants(db), await brokenHistory(db), await brokenSums(db)])
      expect(broken).toEqual([]);
    expect(await m1.run()).toMatchObject({ state: 'completed', changed: 82 });
    const back = { removed: 2, reinserted: 1, restored: 82, identical: true };
    expect(await m1.rollback({ dryRun: true })).toMatchObject(back);
    expect(await m1.rollback()).toMatchObject(back);
    expect(await hashes()).toEqual(before);
  });

  test('puts aside what it cannot do, stops at a limit, and is run once more by retry', async () => {
    const { db, m1, hashes, people } = await place();
    await people.updateOne({ _id: 5 }, { $set: { team: 'none' } });
    await db.collection<Doc>('teams').insertOne({ _id: 0, name: 'taken' });
    const before = await hashes();
    expect(await m1.dryRun()).toMatchObject({ wouldFail: 2 });
    expect(await m1.run({ limit: 3, maxFailures: 5 })).toMatchObject({ state: 'stopped', changed: 2, inserted: 1 });
    expect(await m1.run({ maxFailures: 5 })).toMatchObject({ state: 'completed', failed: 2 });
    expect(await m1.verify()).toMatchObject({ ok: false });
    await people.updateOne({ _id: 5 }, { $set: { team: 'red' } });
    await db.collection<Doc>('teams').deleteOne({ _id: 0 });
    expect(await m1.retry({ maxFailures: 5 })).toMatchObject({ state: 'completed', failed: 0 });
    expect(await people.countDocuments({ teamId: { $exists: true } })).toBe(40);
    expect(await m1.verify()).toMatchObject({ ok: true });
    await people.updateOne({ _id: 5 }, { $set: { team: 'none' } });
    await m1.rollback();
    expect((await hashes())[2]).toBe(before[2]);
  });

  test('is waited for, whatever its author waits for, and nothing is called behind it', async () => {
    const { m1, hashes } = await place(
      `ctx.update('people', {}, (doc) => ({ ...doc, seen: true })).then(() => ctx.remove('attic', { dust: true }));
       globalThis.callLate = () => ctx.remove('people', {}).catch((error) => error.message);`,
    );
    const before = await hashes();
    expect(await m1.run()).toMatchObject({ state: 'completed', changed: 40, deleted: 1 });
    expect(await (globalThis as { callLate?: () => Promise<string> }).callLate?.()).toContain('a call behind it');
    expect(await m1.rollback()).toMatchObject({ restored: 40, reinserted: 1, identical: true });
    expect(await hashes()).toEqual(before);
  });

  test('that removes a document and makes another of its _id gives the first one back, alone or with all', async () => {
    const { db, m1, hashes } = await place(
      `await ctx.remove('attic', { _id: 'kept' });
       await ctx.insert('attic', [{ _id: 'kept', n: 9 }]);`,
    );
    const before = await hashes();
    expect(await m1.run()).toMatchObject({ state: 'completed', inserted: 1, deleted: 1 });
    expect(await m1.rollback({ dryRun: true })).toMatchObject({ removed: 1, reinserted: 1, identical: true });
    expect(await m1.rollback({ only: 'kept' })).toMatchObject({ restored: 1 });
    expect(await db.collection<Doc>('attic').findOne({ _id: 'kept' })).toEqual({ _id: 'kept', n: 1, m: 1 });
    expect(await hashes()).toEqual(before);
  });

  test('that throws ends the run, which goes on with it from its beginning', async () => {
    const { db, at, m1, hashes } = await place(
      `await ctx.update('people', {}, (doc) => ({ ...doc, seen: true }));
       if ((await ctx.db.count('teams')) === 0) throw new TypeError('Ana is not a team');
       await ctx.remove('attic', {});`,
    );
    const before = await hashes();
    await expect(m1.dryRun()).rejects.toMatchObject({ code: 'GODWIT_SCRIPT' });
    const { code, stdout } = await runCommand(['run', 'm1', '--progress', 'none', '--json'], at);
    const { error } = JSON.parse(stdout);
    expect([code, error.code, error.details.at]).toEqual([1, 'GODWIT_SCRIPT', expect.stringContaining('m1.mjs')]);
    expect(stdout).not.toContain('Ana');
    await db.collection<Doc>('teams').insertOne({ _id: 9 });
    expect(await m1.run()).toMatchObject({ state: 'completed', changed: 40, deleted: 2 });
    await db.collection<Doc>('teams').deleteOne({ _id: 9 });
    expect(await m1.rollback()).toMatchObject({ restored: 40, reinserted: 2, identical: true });
    expect(await hashes()).toEqual(before);
  });

  test.each([
    ["await ctx.insert('others', []);", 'script().collections'],
    ["ctx.insert('others', []);", 'script().collections'],
    ["await ctx.insert('teams', [{ _id: 1 }, { _id: 1 }]);", 'each _id once'],
    ["await ctx.insert('teams', [{ name: 'x' }]);", 'with an _id'],
    ["await ctx.insert('teams', [{ _id: 1, f: () => 1 }]);", 'BSON can hold'],
    ["await ctx.update('people', null, (doc) => doc);", 'a filter'],
    ["await ctx.update('people', {}, 'x');", 'a function or stages'],
    ["await ctx.update('people', {}, [{ $out: 'x' }]);", 'stages of an update'],
    ["await ctx.replace('attic', { n: 1 });", 'an _id'],
    ["await ctx.db.aggregate('people', [{ $out: 'x' }]);", '$out'],
  ])('that does not make sense is refused: %s', async (body, message) => {
    const { m1, hashes } = await place(body);
    const before = await hashes();
    for (const verb of [m1.dryRun, m1.run])
      await expect(verb()).rejects.toMatchObject({ message: expect.stringContaining(message) });
    expect(await hashes()).toEqual(before);
  });

  test.each([
    ['[]', 'every collection'],
    ["['people', 'people']", 'once'],
  ])('with collections %s is no script', async (collections, message) => {
    const { m1 } = await place('', collections);
    await expect(m1.dryRun()).rejects.toMatchObject({ message: expect.stringContaining(message) });
  });
});
