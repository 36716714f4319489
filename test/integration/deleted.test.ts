/** What the application deletes under a run, or under a rollback, is never there again; what it inserts anew is its own. */
import { expect, inject, test } from 'vitest';
import { libraryAt } from '../support/library.js';
import { useScratch } from '../support/scratch.js';
import { COUNT, expectWhole, heldAt, prepare } from '../support/trouble.js';

const scratch = useScratch('deleted', () => inject('mongoUri'));

/** Behind the cursor, in the batch that has been read and not written, and before the cursor. */
const DELETED = [5, 45, 100];
/** The same, and inserted again at once. */
const AGAIN = [6, 46, 101];

test('what is deleted under a run is not brought back, neither by its catch-up nor by the rollback', {
  tags: ['F47', 'P2', 'P6', 'P7'],
}, async () => {
  const place = await prepare(scratch.make());
  const people = place.db.collection<{ _id: number; n: number; mark?: string }>('people');
  const told = await heldAt(place, { at: 'batch:after-read:3' }, async () => {
    expect(await people.countDocuments({ mark: 'x' })).toBe(40);
    await people.deleteMany({ _id: { $in: [...DELETED, ...AGAIN] } });
    await people.insertMany(AGAIN.map((_id) => ({ _id, n: -1 })));
  });
  expect([told.code, told.json]).toMatchObject([0, { state: 'completed', failed: 0 }]);
  expect(await people.countDocuments({ mark: 'x' })).toBe(COUNT - DELETED.length);
  const all = [...DELETED, ...AGAIN];
  expect(await people.find({ _id: { $in: all } }, { sort: { _id: 1 } }).toArray()).toEqual(
    AGAIN.map((_id) => ({ _id, n: -1, mark: 'x' })),
  );
  await expectWhole(place.db);
  const m1 = libraryAt({ cwd: place.cwd, uri: place.uri });
  expect(await m1.verify({ full: true })).toMatchObject({ ok: true });
  expect(await m1.dryRun()).toMatchObject({ wouldChange: 0, wouldFail: 0 });

  expect(await m1.rollback()).toMatchObject({ state: 'rolled-back', goneSince: 1, conflicts: 0, identical: false });
  expect(await people.find({ _id: { $in: all } }, { sort: { _id: 1 } }).toArray()).toEqual(
    AGAIN.map((_id) => ({ _id, n: -1 })),
  );
  expect(await people.countDocuments({ mark: { $exists: true } })).toBe(0);
});

test('what is deleted under a rollback is not brought back', { tags: ['F47', 'P6'] }, async () => {
  const place = await prepare(scratch.make());
  const people = place.db.collection<{ _id: number }>('people');
  expect(await libraryAt({ cwd: place.cwd, uri: place.uri }).run({ batchSize: 20, workers: 1 })).toMatchObject({
    state: 'completed',
  });
  const args = ['rollback', 'm1', '--workers', '1', '--json'];
  // Wherever the rollback is: of each batch one.
  const ids = { _id: { $in: [5, 25, 45, 65, 85, 105] } };
  let gone = 0;
  const told = await heldAt(place, { at: 'rollback:after-read:3', args }, async () => {
    gone = await people.countDocuments({ ...ids, mark: 'x' });
    await people.deleteMany(ids);
  });
  expect(gone, 'some are back already, others are not').toBeOneOf([1, 2, 3, 4, 5]);
  expect([told.code, told.json]).toMatchObject([0, { state: 'rolled-back', identical: false, goneSince: gone }]);
  expect(await people.countDocuments()).toBe(COUNT - 6);
  expect(await people.countDocuments({ mark: { $exists: true } })).toBe(0);
});
