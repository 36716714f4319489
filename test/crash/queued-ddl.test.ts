/** DDL of somebody else that waits for the open transaction of a run, and writers behind it (F32). */
import { expect, test } from 'vitest';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { holdAt } from '../support/held.js';
import { brokenHistory } from '../support/observe.js';
import { makeMigration } from '../support/project.js';

const RUN = ['run', 'm1', '--batch-size', '20', '--workers', '1', '--progress', 'none', '--json'];
const COUNT = 200;

const { client, db, uri } = useDatabase('ddl');
const people = db.collection<{ _id: number; mark?: string }>('people');

/** Operations on this database that wait for a lock. */
async function waiting(): Promise<string[]> {
  const found = await client
    .db('admin')
    .aggregate<{ command: Record<string, unknown> }>([
      { $currentOp: {} },
      { $match: { waitingForLock: true, 'command.$db': db.databaseName } },
    ])
    .toArray();
  return found.flatMap(({ command }) => Object.keys(command)[0] ?? []).sort();
}

test.each([
  ['createIndexes', () => people.createIndex({ mark: 1 })],
  ['collMod', () => db.command({ collMod: 'people', validator: { _id: { $exists: true } } })],
] as const)(
  '%s behind a batch, and a write behind that, wait for one batch: all three end well',
  { tags: ['F32', 'P2', 'P7'] },
  async (name, change) => {
    await people.insertMany(Array.from({ length: COUNT }, (_, _id) => ({ _id })));
    const cwd = await makeMigration("(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)");
    const runner = await holdAt('batch:after-read:3', RUN, { cwd, uri });
    const changed = change();
    await until(async () => (await waiting()).includes(name));
    const written = people.insertOne({ _id: 1_000 });
    await until(async () => (await waiting()).includes('insert'));
    // Plain reads pass.
    expect(await people.countDocuments({ mark: 'x' })).toBe(40);

    const ended = await runner.release();
    await Promise.all([changed, written]);
    expect([ended.code, JSON.parse(ended.stdout)]).toMatchObject([0, { state: 'completed' }]);
    expect(await people.countDocuments({ mark: 'x' })).toBe(COUNT + 1);
    expect(await audited(db)).toBe(COUNT + 1);
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db))]).toEqual([]);
  },
);
