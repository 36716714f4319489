/** A run of a pipeline step that is killed goes on as if it had lived. */
import { expect, inject, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { audited, brokenInvariants } from '../support/crash.js';
import { libraryAt } from '../support/library.js';
import { runProcess } from '../support/process.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';
import { BATCH_POINTS } from '../support/trouble.js';

const COUNT = 300;
/** Its first statement is done, and nothing is committed. */
const FIRST = 'batch:after-data';
const POINTS = [FIRST, ...BATCH_POINTS.filter((point) => point !== FIRST)];

const MARK = `import { defineMigration, pipeline } from 'godwit';
export default defineMigration({
  description: 'a test',
  steps: [pipeline({
    collection: 'people',
    filter: { mark: { $exists: false } },
    update: [{ $set: { mark: { $concat: [{ $ifNull: ['$mark', ''] }, 'x'] } } }],
  })],
});
`;

const scratch = useScratch('pipeline_killed', () => inject('mongoUri'));

test.each(matrix(POINTS))(
  'a pipeline step that is killed at %s goes on as if it had lived',
  {
    tags: ['P3', 'P5'],
  },
  async (point) => {
    const { db, uri } = scratch.make();
    const people = Array.from({ length: COUNT }, (_, n) => ({ n, nested: { z: 1, a: { deep: [n, { x: null }] } } }));
    await db.collection('people').insertMany(people);
    const before = await hashOf(db, 'people');
    await db
      .collection('people')
      .aggregate([{ $out: 'twin' }])
      .toArray();
    await db.collection('twin').updateMany({}, { $set: { mark: 'x' } });
    const cwd = await makeProject({ 'scripts/migrations/m1.mjs': MARK });
    const args = ['run', 'm1', '--batch-size', '50', '--workers', '1', '--progress', 'none'];
    const dead = await runProcess(args, { cwd, uri, env: { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:3:kill` } });
    expect(dead.signal).toBe('SIGKILL');
    expect((await runCommand(args, { cwd, uri })).code).toBe(0);
    expect(await hashOf(db, 'people')).toBe(await hashOf(db, 'twin'));
    expect([await audited(db), await brokenInvariants(db)]).toEqual([COUNT, []]);
    expect(await libraryAt({ cwd, uri }).rollback()).toMatchObject({ restored: COUNT, identical: true });
    expect(await hashOf(db, 'people')).toBe(before);
  },
);
