/** Schema steps are in no transaction: a runner that dies around one is followed by one that finds out what it has met. */
import type { Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { SCHEMA_POINTS, type SchemaPoint } from '../../src/engine/fault-points.js';
import { runJson } from '../support/command.js';
import { brokenInvariants } from '../support/crash.js';
import { brokenHistory } from '../support/observe.js';
import { finished, startCommand } from '../support/process.js';
import { makeProject } from '../support/project.js';
import { hashOf, structureOf, useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';

/** Every kind of schema step, a transform among them. */
const ALL = [
  "schema.createCollection({ name: 'contacts' })",
  "schema.createIndex({ collection: 'contacts', key: { name: 1 } })",
  "schema.dropIndex({ collection: 'people', name: 'odd' })",
  'TRANSFORM',
  "schema.createIndex({ collection: 'people', key: { mail: 1 }, options: { unique: true } })",
  "schema.setValidator({ collection: 'people', validator: { mail: { $type: 'string' } } })",
  "schema.dropCollection({ name: 'attic', keepAs: 'attic_old' })",
];
const CASES = [
  { title: 'an index that goes and one that is new', steps: ALL.slice(2, 5) },
  { title: 'every kind of change', steps: ALL },
];

const migrationOf = (steps: readonly string[]): string => `import { defineMigration, schema, transform } from 'godwit';
const TRANSFORM = transform({ collection: 'people', up: (doc) => ({ ...doc, mail: doc.mail.toLowerCase() }) });
export default defineMigration({ description: 'a test', steps: [
  ${steps.join(',\n  ')},
] });
`;

/** Killed before each change and behind it, one start after the other, until there is none left. */
async function killedAtEach(
  verb: 'run' | 'rollback',
  at: { cwd: string; uri: string },
  count: number,
): Promise<SchemaPoint[]> {
  const [before, after] = verb === 'run' ? SCHEMA_POINTS.slice(0, 2) : SCHEMA_POINTS.slice(2);
  const met: SchemaPoint[] = [];
  for (let start = 0; start < 2 * count; start += 1) {
    const point = (start % 2 === 0 ? before : after) as SchemaPoint;
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:1:kill` };
    const { signal } = await finished(startCommand([verb, 'm1', '--progress', 'none'], { ...at, env }));
    if (signal === 'SIGKILL') met.push(point);
  }
  return met;
}

describe('schema steps whose runner is killed', () => {
  const scratch = useScratch('schema-kill', () => inject('mongoUri'));

  test.each(matrix(CASES))(
    'before and behind each change are done once, and taken back once: $title',
    { timeout: 300_000, tags: ['P3', 'P6'] },
    async ({ steps }) => {
      const count = steps.length - 1;
      const { db, uri } = scratch.make();
      await db.collection('people').insertMany([
        { _id: 1, mail: 'Ana@X.test' },
        { _id: 2, mail: 'bo@x.test', age: 4 },
      ] as unknown as Document[]);
      await db.command({ createIndexes: 'people', indexes: [{ key: { age: 1.5 }, name: 'odd', sparse: true }] });
      await db.command({ collMod: 'people', validator: { _id: { $exists: true } } });
      await db.collection('attic').insertOne({ dust: 1 });
      const before = [await structureOf(db), await hashOf(db, 'people')];
      const at = { cwd: await makeProject({ 'scripts/migrations/m1.mjs': migrationOf(steps) }), uri };

      expect(await killedAtEach('run', at, count)).toHaveLength(2 * count);
      const run = await runJson(['run', 'm1'], at);
      expect([run.code, run.json['state'], run.json['changed']]).toEqual([0, 'completed', 1]);
      expect((await runJson(['verify', 'm1'], at)).code).toBe(0);

      expect(await killedAtEach('rollback', at, count)).toHaveLength(2 * count);
      const back = await runJson(['rollback', 'm1'], at);
      expect([back.code, back.json['state'], back.json['identical']]).toEqual([0, 'rolled-back', true]);
      expect([await structureOf(db), await hashOf(db, 'people')]).toEqual(before);
      expect([...(await brokenInvariants(db)), ...(await brokenHistory(db))]).toEqual([]);
    },
  );
});
