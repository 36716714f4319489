/** A step that looks up what an earlier step of the same migration writes: what that one writes late reaches it, too. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { runJson } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { runProcess } from '../support/process.js';
import { makeProject } from '../support/project.js';

interface Owner {
  readonly _id: number;
  readonly no?: number;
  readonly name?: string;
  readonly label?: string;
}

interface Car {
  readonly _id: number;
  readonly owner: number;
  readonly n?: number;
  readonly label?: string;
}

/** The first step fails at one owner until it is told better, and gives each another number. */
const migration = (foreignField: string): string => `import { existsSync } from 'node:fs';
import { defineMigration, transform } from 'godwit';
export default defineMigration({
  description: 'a test',
  steps: [
    transform({
      collection: 'owners',
      up: ({ name, no, ...rest }) => {
        if (name === undefined) return rest.label === undefined ? { ...rest, label: 'nameless', no } : { ...rest, no };
        if (name === 'Bob' && !existsSync(new URL('../../mended', import.meta.url))) throw new Error('not Bob');
        return { ...rest, no: no + 100, label: name.toUpperCase() };
      },
    }),
    transform({
      collection: 'cars',
      lookup: { owner: { from: 'owners', localField: 'owner', foreignField: '${foreignField}' } },
      up: (car, { lookup }) => ({ ...car, label: lookup.owner.get(car.owner)?.label ?? 'none' }),
    }),
  ],
});
`;
const project = (foreignField: string): Promise<string> =>
  makeProject({ 'scripts/migrations/m1.mjs': migration(foreignField) });
/** From now on the first step does not fail. */
const mend = (cwd: string): Promise<void> => writeFile(join(cwd, 'mended'), '');
const RUN = ['--workers', '1', '--batch-size', '5', '--progress', 'none'];

describe('a looked-up document that an earlier step writes', () => {
  const { db, uri } = useDatabase('lookup_chain');
  const owners = db.collection<Owner>('owners');
  const cars = db.collection<Car>('cars');

  /** Owners are looked up by their new numbers, which the first step gives them, or by their `_id`s. */
  async function fill(count: number, offset: number): Promise<void> {
    await owners.insertMany(['Ada', 'Bob'].map((name, _id) => ({ _id, no: _id, name })));
    await cars.insertMany(Array.from({ length: count }, (_, _id) => ({ _id, owner: offset + (_id % 2) })));
  }

  test.each([
    ['_id', 0],
    ['no', 100],
  ])('reaches those that look it up by %s once it is retried', async (foreignField, offset) => {
    await fill(20, offset);
    const cwd = await project(foreignField);
    const first = await runJson(['run', 'm1', '--max-failures', '1', ...RUN], { cwd, uri });
    expect([first.code, await cars.distinct('label')]).toEqual([4, ['ADA', 'none']]);
    await mend(cwd);
    const again = await runJson(['retry', 'm1', ...RUN], { cwd, uri });
    expect([again.code, await cars.distinct('label')]).toEqual([0, ['ADA', 'BOB']]);
    const verdict = await runJson(['verify', 'm1'], { cwd, uri });
    expect(verdict.code).toBe(0);
  });

  test('reaches them when the runner is killed behind it', async () => {
    await fill(20, 100);
    const cwd = await project('no');
    await runJson(['run', 'm1', '--max-failures', '1', ...RUN], { cwd, uri });
    await mend(cwd);
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-commit:1:kill' };
    expect((await runProcess(['retry', 'm1', ...RUN], { cwd, uri, env })).signal).toBe('SIGKILL');
    expect(await owners.findOne({ _id: 1 })).toMatchObject({ no: 101, label: 'BOB' });
    const { code } = await runJson(['run', 'm1', ...RUN], { cwd, uri });
    expect([code, await cars.distinct('label')]).toEqual([0, ['ADA', 'BOB']]);
  });

  test('is not foreseen by a dry run, which says so', async () => {
    await fill(20, 0);
    const { json } = await runJson(['run', 'm1', '--dry-run'], { cwd: await project('_id'), uri });
    expect(json['notChecked']).toEqual([
      'what cars looks up in owners: an earlier step changes that, and here it was as it is now',
    ]);
  });

  test('reaches those that are through already once it alone is taken up again', async () => {
    await fill(20, 0);
    const cwd = await project('_id');
    const failing = ['run', 'm1', '--max-failures', '1', ...RUN];
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: 'batch:after-commit:3:kill' };
    expect((await runProcess(failing, { cwd, uri, env })).signal).toBe('SIGKILL');
    expect(await cars.countDocuments({ label: 'none' })).toBeGreaterThan(0);
    await mend(cwd);
    expect((await runJson(['run', 'm1', '--only', '1', ...RUN], { cwd, uri })).code).toBe(7);
    expect((await runJson(failing, { cwd, uri })).code).toBe(0);
    expect(await cars.distinct('label')).toEqual(['ADA', 'BOB']);
  });

  test('reaches them when the application saves it in the old shape while they are caught up with', async () => {
    await fill(300, 0);
    const cwd = await project('_id');
    await mend(cwd);
    const session = await openSession({ cwd, uri });
    let isCatchingUp = false;
    let saved: Promise<unknown> | undefined;
    session.events.on('run:state', ({ to }) => {
      isCatchingUp = to === 'catching-up';
    });
    session.events.on('run:batch', ({ counters }) => {
      // Each of them is touched behind its batch, so that the catch-up takes a while.
      if (counters.scanned === 302) void cars.updateMany({}, { $inc: { n: 1 } });
      if (isCatchingUp) saved ??= owners.replaceOne({ _id: 1 }, { no: 1, name: 'Bobby' });
    });
    const { state } = await startRun(session, 'm1', { batchSize: 5, workers: 1 }).result;
    await saved;
    await closeSession(session);
    expect([state, saved !== undefined]).toEqual(['completed', true]);
    expect(await owners.findOne({ _id: 1 })).toMatchObject({ label: 'BOBBY' });
    expect(await cars.distinct('label')).toEqual(['ADA', 'BOBBY']);
  });
});
