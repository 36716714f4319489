/**
 * What the change stream tells only once, a later runner has to know as well: a renaming that was put back (found by
 * the campaign, and by a run of the tests on a slow machine), and a looked-up document that went.
 */
import type { Collection } from 'mongodb';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { callCommand, runCommand, runJson } from '../support/command.js';
import { until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { holdAt } from '../support/held.js';
import { currentRun } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { errorOf } from '../support/refusal.js';

const { db, uri } = useDatabase('stream_place');
afterEach(() => db.dropDatabase());
afterAll(killLeftovers);
const RUN = ['run', 'm1', '--batch-size', '10', '--workers', '1', '--progress', 'none', '--json'];

interface Person {
  readonly _id: number;
  readonly mark?: string;
}

describe('a collection that was away under another name', () => {
  async function prepare(): Promise<{ readonly people: Collection<Person>; readonly cwd: string }> {
    const people = db.collection<Person>('people');
    await people.insertMany(Array.from({ length: 60 }, (_, _id) => ({ _id })));
    return { people, cwd: await makeMigration("(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)") };
  }

  /** The application writes under the other name, which the stream does not watch. */
  async function putBackAndRun(people: Collection<Person>, cwd: string): Promise<void> {
    await db.collection<Person>('people_old').insertOne({ _id: -1 });
    await db.collection('people_old').rename('people');
    const { code, json } = await runJson(RUN, { cwd, uri });
    expect([code, json['state']]).toEqual([0, 'completed']);
    expect(await people.countDocuments({ mark: 'x' })).toBe(61);
    expect((await currentRun(db)).stream.isLost).toBe(true);
  }

  test('goes on at once when it is put back, although the stream tells of it only then', async () => {
    const { people, cwd } = await prepare();
    const runner = await holdAt('batch:before-read:2', RUN, { cwd, uri });
    await people.rename('people_old');
    expect(errorOf(await runner.release()).code).toBe('GODWIT_TARGET_REPLACED');
    await putBackAndRun(people, cwd);
  });

  test('goes on when it is put back, and knows what it was not told, although the stream has told of it', async () => {
    const { people, cwd } = await prepare();
    // Slow enough that only its stream can end it within the time of this test: no batch is read meanwhile.
    const { end } = callCommand([...RUN, '--max-rate', '1'], { cwd, uri });
    await until(async () => (await people.countDocuments({ mark: 'x' })) > 0);
    await people.rename('people_old');
    expect(errorOf(await end).code).toBe('GODWIT_TARGET_REPLACED');
    await putBackAndRun(people, cwd);
  });
});

describe('a looked-up document that went', () => {
  const owners = db.collection<{ _id: number; no: number; name: string }>('owners');
  const cars = db.collection<{ _id: number; owner: number; ownerName?: string }>('cars');

  async function prepare(): Promise<string> {
    await owners.insertMany(['Ada', 'Bob'].map((name, no) => ({ _id: no, no, name })));
    await cars.insertMany(Array.from({ length: 20 }, (_, _id) => ({ _id, owner: _id % 2 })));
    return makeMigration(
      "(doc, { lookup }) => ({ ...doc, ownerName: lookup.owner.get(doc.owner)?.name ?? 'nobody' })",
      "collection: 'cars', lookup: { owner: { from: 'owners', localField: 'owner', foreignField: 'no' } }",
    );
  }

  test('is not forgotten by who is killed behind it', async () => {
    const cwd = await prepare();
    const runner = startCommand([...RUN, '--follow'], { cwd, uri });
    const end = finished(runner);
    await until(async () => (await db.collection('migrations').countDocuments({ state: 'catching-up' })) > 0);
    const token = async (): Promise<string> => JSON.stringify((await currentRun(db)).stream.token);
    const before = await token();
    await owners.deleteOne({ name: 'Bob' });
    await until(async () => (await token()) !== before, 20_000);
    runner.kill('SIGKILL');
    await end;
    const { code } = await runCommand(RUN, { cwd, uri });
    expect(code).toBe(0);
    expect(await cars.distinct('ownerName')).toEqual(['Ada', 'nobody']);
  });

  test('and came back under another key before the stream was read: who knew it by the old one goes through again', async () => {
    const cwd = await prepare();
    const runner = await holdAt('batch:before-read:2', RUN, { cwd, uri });
    expect(await cars.countDocuments({ ownerName: 'Bob' })).toBe(5);
    await owners.deleteOne({ _id: 1 });
    await owners.insertOne({ _id: 1, no: 5, name: 'Bob' });
    expect((await runner.release()).code).toBe(0);
    expect(await cars.distinct('ownerName')).toEqual(['Ada', 'nobody']);
  });
});
