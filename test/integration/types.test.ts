import {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
} from 'bson';
import type { Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { scanFields } from '../../src/kernel/raw-bson.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

function nested(depth: number): Document {
  let value: Document = { end: new Double(1) };
  for (let level = 0; level < depth; level += 1) value = { d: value };
  return value;
}

/** One value of each kind that a server holds, with the edges that drivers lose. */
const VALUES: Readonly<Record<string, unknown>> = {
  int: new Int32(5),
  long: Long.fromNumber(5),
  bigLong: Long.fromString('9007199254740993'),
  double: new Double(1),
  minusZero: new Double(-0),
  nan: new Double(Number.NaN),
  infinity: new Double(Number.POSITIVE_INFINITY),
  minusInfinity: new Double(Number.NEGATIVE_INFINITY),
  decimal: Decimal128.fromString('5.0'),
  decimalTwin: Decimal128.fromString('5.00'),
  decimalNan: Decimal128.fromString('NaN'),
  text: 'täxt \u0000 with zero',
  empty: '',
  date: new Date(-1),
  binary: new Binary(Buffer.from([1, 2, 3]), 0),
  user: new Binary(Buffer.from([1]), 128),
  md5: new Binary(Buffer.alloc(16), 5),
  uuid: new UUID('2667fae8-764d-4013-b7e1-197a3de3d629'),
  id: new ObjectId('64b7f0c2a1b2c3d4e5f60718'),
  regex: new BSONRegExp('a.b', 'imsx'),
  code: new Code('f()'),
  codeWithScope: new Code('f()', { x: new Double(1) }),
  symbol: new BSONSymbol('sym'),
  nothing: null,
  min: new MinKey(),
  max: new MaxKey(),
  deepTimestamp: { zero: new Timestamp({ t: 0, i: 0 }), one: new Timestamp({ t: 1, i: 2 }) },
  reference: { $ref: 'others', $id: new ObjectId('64b7f0c2a1b2c3d4e5f60718') },
  odd: { '': 1, $dollar: 2, 'a.b': 3, __proto__: null, constructor: 4, toBSON: 5 },
  array: [new Double(1), new Int32(1), [[]], {}, null],
  emptyObject: {},
  // With the document around it, and a box in one test: the 180 levels that a server takes.
  deep: nested(177),
};

describe('a value of every BSON type', () => {
  const { db, uri } = useDatabase('types');
  const docs = db.collection<{ _id: number }>('people');

  const fields = async (_id: number): Promise<Map<string, string>> => {
    const [raw] = await docs.find({ _id }, { raw: true }).toArray();
    const bytes = raw as unknown as Buffer;
    return new Map(scanFields(bytes).map((field) => [field.name, bytes.toString('hex', field.start, field.end)]));
  };

  test('survives a transform of unrelated fields, byte for byte, and the rollback', {
    tags: ['F44', 'F45', 'P6'],
  }, async () => {
    await docs.insertMany([{ _id: 1, first: 'A', ...VALUES, last: 'Z' }] as never[]);
    // Beyond JavaScript's dates: only the server can make it.
    await docs.updateOne({ _id: 1 }, [{ $set: { farDate: { $toDate: Long.fromString('9000000000000000') } } }]);
    const before = await dataHash(db);
    const bytes = await fields(1);
    const cwd = await makeMigration(
      '({ last, ...doc }) => ({ ...doc, first: String(doc.first).toLowerCase(), zeta: 1, alpha: 2 })',
    );
    const session = await openSession({ cwd, uri });
    expect(await startRun(session, 'm1').result).toMatchObject({ state: 'completed', changed: 1, failed: 0 });
    const after = await fields(1);
    expect([...after.keys()].slice(-2)).toEqual(['zeta', 'alpha']);
    for (const name of [...Object.keys(VALUES), 'farDate'])
      expect([name, after.get(name)]).toEqual([name, bytes.get(name)]);
    expect((await verify(session, 'm1')).ok).toBe(true);
    expect(await startRollback(session, 'm1').result).toMatchObject({ restored: 1, identical: true });
    expect(await dataHash(db)).toEqual(before);
    await closeSession(session);
  });

  test('keeps its type at its path inside a changed object, and elsewhere by keep()', async () => {
    await docs.insertMany([
      { _id: 1, box: { ...VALUES, touched: 1 }, moved: new Double(7), price: Decimal128.fromString('1.10') },
    ] as never[]);
    const before = await dataHash(db);
    const cwd = await makeMigration(
      "({ moved, price, ...doc }, { keep }) => ('total' in doc ? doc : { ...doc, box: { ...doc.box, touched: 2 }, total: keep('moved'), cost: { net: keep(['price']), deep: keep('box.double') } })",
    );
    const session = await openSession({ cwd, uri });
    expect(await startRun(session, 'm1').result).toMatchObject({ state: 'completed', changed: 1, failed: 0 });
    const typed = { promoteValues: false, promoteLongs: false, bsonRegExp: true } as const;
    const [found] = await docs.find({ _id: 1 }, typed).toArray();
    const doc = found as unknown as {
      box: Record<string, { _bsontype?: string }>;
      total: unknown;
      cost: { net: unknown; deep: unknown };
    };
    for (const [name, value] of Object.entries(VALUES))
      expect([name, doc.box[name]?._bsontype]).toEqual([
        name,
        (value as { _bsontype?: string } | null)?._bsontype ?? doc.box[name]?._bsontype,
      ]);
    expect([doc.box['double'], doc.box['long'], doc.box['symbol']]).toMatchObject([
      { _bsontype: 'Double' },
      { _bsontype: 'Long' },
      { _bsontype: 'BSONSymbol' },
    ]);
    expect([doc.total, doc.cost.net, doc.cost.deep]).toMatchObject([
      { _bsontype: 'Double' },
      { _bsontype: 'Decimal128' },
      { _bsontype: 'Double' },
    ]);
    expect(String(doc.cost.net)).toBe('1.10');
    expect(await startRollback(session, 'm1').result).toMatchObject({ restored: 1, identical: true });
    expect(await dataHash(db)).toEqual(before);
    await closeSession(session);
  });
});
