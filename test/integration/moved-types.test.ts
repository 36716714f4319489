/** Values keep their BSON type wherever they go: told by the raw bytes on the server, for each kind of step. */
import { BSONRegExp, BSONSymbol, Double, Int32, Long } from 'bson';
import type { Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { toTyped, typeName } from '../../src/kernel/values.js';
import { libraryAt } from '../support/library.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

const typesIn = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(typesIn);
  if (typeName(value) !== 'object') return typeName(value);
  return Object.fromEntries(Object.entries(value as object).map(([name, item]) => [name, typesIn(item)]));
};

describe.concurrent('a value that goes elsewhere keeps its type', () => {
  const scratch = useScratch('moved', () => inject('mongoUri'));

  async function place(steps: string, collections: Readonly<Record<string, readonly object[]>>) {
    const { db, uri } = scratch.make();
    for (const [name, documents] of Object.entries(collections)) {
      await db.createCollection(name);
      if (documents.length > 0) await db.collection(name).insertMany(documents.map((one) => ({ ...one }) as Document));
    }
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { defineMigration, merge, references, script, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [${steps}] });
`,
    });
    const stored = async (name: string): Promise<readonly Document[]> => {
      const raws = await db
        .collection(name)
        .find({}, { raw: true, sort: { _id: 1 } })
        .toArray();
      return raws.map((raw) => toTyped(raw as unknown as Buffer));
    };
    const hashes = () => Promise.all(Object.keys(collections).map((name) => hashOf(db, name)));
    return { m1: libraryAt({ cwd, uri }), stored, hashes };
  }

  test('out of an array that a transform has filtered', async () => {
    const hist = [{ v: Number.NaN }, { v: new Double(1), d: new Double(2), n: Long.fromNumber(3) }];
    const { m1, stored, hashes } = await place(
      `transform({ collection: 'people', all: true, up: (doc) => ({ ...doc, hist: doc.hist.filter(({ v }) => !Number.isNaN(v)) }) })`,
      { people: [{ _id: 'x', hist }] },
    );
    const before = await hashes();
    expect(await m1.run()).toMatchObject({ state: 'completed', changed: 1 });
    expect((await stored('people')).map(typesIn)).toEqual([
      { _id: 'string', hist: [{ v: 'double', d: 'double', n: 'int64' }] },
    ]);
    expect(await m1.verify()).toMatchObject({ ok: true });
    expect(await m1.rollback()).toMatchObject({ restored: 1, identical: true });
    expect(await hashes()).toEqual(before);
  });

  test('out of a lookup: whole, in part, and as a number by keep()', async () => {
    const { m1, stored } = await place(
      `transform({
        collection: 'people', filter: { owner: { $exists: false } },
        lookup: { owner: { from: 'users', localField: 'ownerId', foreignField: '_id' } },
        up: (doc, { lookup, keep }) => {
          const owner = lookup.owner.get(doc.ownerId);
          return { ...doc, owner, address: owner.address, balance: keep('balance', owner), zip: keep('zip', owner.address) };
        },
      })`,
      {
        people: [{ _id: 'x', ownerId: 7 }],
        users: [
          { _id: Long.fromNumber(7), balance: new Double(5), address: { zip: new Double(1000), 'a.b': new Double(1) } },
        ],
      },
    );
    expect(await m1.run()).toMatchObject({ state: 'completed', changed: 1, failed: 0 });
    const address = { zip: 'double', 'a.b': 'double' };
    expect((await stored('people')).map(typesIn)).toEqual([
      {
        _id: 'string',
        ownerId: 'int32',
        owner: { _id: 'int64', balance: 'double', address },
        address,
        balance: 'double',
        zip: 'double',
      },
    ]);
  });

  test('through the map and the conflict rules of a merge', async () => {
    const { m1, stored } = await place(
      `merge({
        into: 'contacts', provenance: false,
        from: { clients: { map: ({ mail, qty, tags, box }) => ({ email: mail, amount: qty, tags: tags.filter((tag) => tag.n > 0), box: { ...box } }) } },
        identity: [({ email }) => email],
        onConflict: {
          tags: (target, source) => [...target, ...source],
          box: (target, source, { keep }) => ({ ...target, n: keep('n', source) }),
        },
      })`,
      {
        contacts: [
          {
            _id: 'c',
            email: 'a@x.test',
            tags: [{ n: new Double(8) }],
            box: { n: new Int32(1), m: Long.fromNumber(4) },
          },
        ],
        clients: [
          {
            _id: 'x',
            mail: 'a@x.test',
            qty: new Double(2),
            tags: [{ n: 0 }, { n: Long.fromNumber(3) }],
            box: { n: new Double(6) },
          },
        ],
      },
    );
    expect(await m1.run()).toMatchObject({ state: 'completed' });
    expect((await stored('contacts')).map(typesIn)).toEqual([
      {
        ...{ _id: 'string', email: 'string', amount: 'double' },
        ...{ tags: [{ n: 'double' }, { n: 'int64' }], box: { n: 'double', m: 'int64' } },
      },
    ]);
    expect(await m1.verify()).toMatchObject({ ok: true });
  });

  test('through a function for whole documents of a merge', async () => {
    const { m1, stored } = await place(
      `merge({
        into: 'contacts', provenance: false,
        from: { clients: { map: ({ mail, ...rest }) => ({ email: mail, ...rest }) } },
        identity: [({ email }) => email],
        onConflict: (target, source) => ({ ...target, theirs: source.box, total: source.qty, lines: [...target.lines, ...source.lines] }),
      })`,
      {
        contacts: [{ _id: 'c', email: 'a@x.test', lines: [{ n: new Double(1) }] }],
        clients: [
          {
            _id: 'x',
            mail: 'a@x.test',
            qty: new Double(2),
            box: { n: new Double(6) },
            lines: [{ n: Long.fromNumber(3) }],
          },
        ],
      },
    );
    expect(await m1.run()).toMatchObject({ state: 'completed' });
    expect((await stored('contacts')).map(typesIn)).toEqual([
      {
        ...{ _id: 'string', email: 'string', lines: [{ n: 'double' }, { n: 'int64' }] },
        ...{ theirs: { n: 'double' }, total: 'double' },
      },
    ]);
  });

  test('from what a script reads to what it inserts, and into its filters', async () => {
    const ODD = {
      ...{ d: new Double(1), l: Long.fromNumber(2), i: new Int32(3), big: Long.fromString('9007199254740993') },
      ...{
        regex: new BSONRegExp('a.b', 'ix'),
        symbol: new BSONSymbol('s'),
        box: [{ 'a.b': new Double(4), $x: new Double(5) }],
      },
    };
    const { m1, stored, hashes } = await place(
      `script({ collections: ['copies', 'numbers'], async up(ctx) {
        await ctx.insert('copies', await ctx.db.find('people'));
        const [{ d, l }] = await ctx.db.aggregate('people', [{ $project: { d: 1, l: 1 } }]);
        const [i] = await ctx.db.distinct('people', 'i', { d });
        await ctx.insert('numbers', [{ _id: 'n', d, l, i }]);
      } })`,
      { people: [{ _id: 'x', ...ODD }], copies: [], numbers: [] },
    );
    const before = await hashes();
    expect(await m1.run()).toMatchObject({ state: 'completed', inserted: 2 });
    expect(await stored('copies')).toEqual(await stored('people'));
    expect((await stored('numbers')).map(typesIn)).toEqual([{ _id: 'string', d: 'double', l: 'int64', i: 'int32' }]);
    expect(await m1.rollback()).toMatchObject({ removed: 2, identical: true });
    expect(await hashes()).toEqual(before);
  });

  test('as the _id that a reference becomes', async () => {
    const { m1, stored } = await place(`references({ collection: 'people', path: 'team', to: 'teams', by: 'key' })`, {
      people: [
        { _id: 'x', team: 'red' },
        { _id: 'y', team: 'blue' },
      ],
      teams: [
        { _id: new Double(5), key: 'red' },
        { _id: Long.fromNumber(6), key: 'blue' },
      ],
    });
    expect(await m1.run()).toMatchObject({ state: 'completed', changed: 2 });
    expect((await stored('people')).map(({ team }) => typeName(team))).toEqual(['double', 'int64']);
  });
});
