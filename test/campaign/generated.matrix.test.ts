/**
 * Generated migrations of every kind of step, over documents of every BSON type: the dry run foresees what the run does,
 * the documents end as an oracle without Godwit makes them, type by type in their raw bytes, and go back exactly.
 */
import { serialize } from 'bson';
import type { Db, Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { libraryAt } from '../support/library.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { IS_LONG } from '../support/tiers.js';
import { diceFrom } from './dice.js';
import { type Collections, type DrawnMigration, drawMigration } from './generated/draw.js';

/** Each kind of step begins one of seven. */
const COUNT = IS_LONG ? 35 : 7;
const drawn = Array.from({ length: COUNT }, (_, seed) => drawMigration(seed, diceFrom(seed)));

const bytesOf = (document: Document): string => Buffer.from(serialize(document)).toString('hex');

/** Documents as they are stored, without what nobody can foresee. */
async function stored(db: Db, name: string): Promise<string[]> {
  const raws = (await db.collection(name).find({}, { raw: true }).toArray()) as unknown as Buffer[];
  return raws.map((raw) => Buffer.from(raw).toString('hex')).sort();
}

/** The bytes of a document behind its `_id`. */
const behindId = (hex: string, idHex: string): string => hex.replace(idHex, '');

async function fill(db: Db, { collections }: DrawnMigration): Promise<void> {
  for (const [name, documents] of collections) {
    await db.createCollection(name);
    if (documents.length > 0) await db.collection(name).insertMany(documents.map((one) => ({ ...one })));
  }
}

async function expected({ collections, steps }: DrawnMigration, scratch: Db): Promise<Collections> {
  const all: Collections = new Map([...collections].map(([name, documents]) => [name, [...documents]]));
  for (const step of steps) await step.oracle(all, scratch);
  return all;
}

describe.concurrent('a generated migration', () => {
  const scratch = useScratch('generated', () => inject('mongoUri'));

  test.each(drawn.map((one) => [one.seed, one.steps.map(({ kind }) => kind).join(', '), one] as const))(
    'of seed %i is foreseen, done as an oracle does it, proved and taken back: %s',
    { tags: ['P1', 'P6', 'P7'] },
    async (_seed, _kinds, migration) => {
      const { db, uri } = scratch.make();
      await fill(db, migration);
      const names = [...migration.collections.keys()];
      const hashes = () => Promise.all(names.map((name) => hashOf(db, name)));
      const before = await hashes();
      const cwd = await makeProject({
        'scripts/migrations/m1.mjs': `import { defineMigration, merge, pipeline, references, schema, script, transform } from 'godwit';
export default defineMigration({ description: 'generated', steps: [${migration.steps.map(({ text }) => text).join(',\n')}] });
`,
      });
      const m1 = libraryAt({ cwd, uri });

      const foreseen = await m1.dryRun();
      expect(await hashes()).toEqual(before);
      const done = await m1.run({ batchSize: 7 });
      expect(done).toMatchObject({ state: 'completed', failed: 0 });
      const isSeen = (foreseen['notChecked'] as string[]).every((what) => !what.startsWith('what a script does'));
      const figures = { inserted: foreseen['wouldInsert'], failed: foreseen['wouldFail'] };
      expect(done).toMatchObject(
        isSeen ? { ...figures, changed: foreseen['wouldChange'], deleted: foreseen['wouldDelete'] } : figures,
      );
      if (isSeen && foreseen['deterministic'] !== null) expect(foreseen['deterministic']).toBe(true);

      for (const [name, documents] of await expected(migration, scratch.make().db)) {
        const found = await stored(db, name);
        // The `_id`s that a script makes are the only ones that the oracle does not know.
        const isBare = documents.some((one) => !('_id' in one));
        const bare = found.map((hex) => behindId(hex, hex.slice(8, 8 + 2 * 17)).slice(8));
        expect(isBare ? bare.sort() : found, name).toEqual(
          documents.map((one) => (isBare ? bytesOf(one).slice(8) : bytesOf(one))).sort(),
        );
      }
      expect(await m1.verify()).toMatchObject({ ok: true });
      expect(await m1.rollback()).toMatchObject({ identical: true, conflicts: 0 });
      expect(await hashes()).toEqual(before);
    },
  );
});
