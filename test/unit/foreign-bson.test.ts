import { createRequire } from 'node:module';
import * as own from 'bson';
import { describe, expect, test } from 'vitest';
import { decide, plainOf } from '../../src/domain/change.js';
import { storedDocument } from '../../src/domain/stored-document.js';
import { deepFreeze } from '../../src/kernel/values.js';

/** The copy that Mongoose 8 brings: another major version, which refuses values of ours and the other way round. */
const mongoose8 = createRequire(createRequire(import.meta.url).resolve('mongoose8'));
const foreign = mongoose8('bson') as typeof own;

const ID = '64b7f0c2a1b2c3d4e5f60718';
const UUID = '2667fae8-764d-4013-b7e1-197a3de3d629';

/** The same value by either copy. */
const VALUES: readonly (readonly [string, (bson: typeof own) => unknown])[] = [
  ['ObjectId', (bson) => new bson.ObjectId(ID)],
  ['Decimal128', (bson) => bson.Decimal128.fromString('5.00')],
  ['Decimal128 NaN', (bson) => bson.Decimal128.fromString('NaN')],
  ['Long', (bson) => bson.Long.fromString('-9007199254740993')],
  ['Int32', (bson) => new bson.Int32(7)],
  ['Double', (bson) => new bson.Double(7)],
  ['Double -0', (bson) => new bson.Double(-0)],
  ['Binary', (bson) => new bson.Binary(Buffer.from([1, 2, 3]), 128)],
  [
    'Binary with room to spare',
    (bson) => {
      const binary = new bson.Binary();
      binary.put(5);
      return binary;
    },
  ],
  ['UUID', (bson) => new bson.UUID(UUID)],
  ['Timestamp', (bson) => new bson.Timestamp({ t: 4_294_967_295, i: 7 })],
  ['BSONRegExp', (bson) => new bson.BSONRegExp('a.b', 'imsx')],
  ['BSONSymbol', (bson) => new bson.BSONSymbol('s')],
  ['Code', (bson) => new bson.Code('f()')],
  ['Code with a scope', (bson) => new bson.Code('f()', { id: new bson.ObjectId(ID), n: new bson.Double(1) })],
  ['DBRef', (bson) => new bson.DBRef('others', new bson.ObjectId(ID), 'db', { n: new bson.Double(1) })],
  ['DBRef by a number', (bson) => new bson.DBRef('others', 5 as never)],
  ['MinKey', (bson) => new bson.MinKey()],
  ['MaxKey', (bson) => new bson.MaxKey()],
  [
    'all of them in an array and an object',
    (bson) => ({ list: [new bson.ObjectId(ID), { d: bson.Decimal128.fromString('1.10') }] }),
  ],
];

/** The stored bytes when `up` sets `value`. */
function storedWith(value: unknown): Buffer {
  const before = storedDocument(Buffer.from(own.serialize({ _id: 1 })));
  const plain = deepFreeze(plainOf(before));
  const decision = decide(before, plain, { ...plain, value });
  if (decision.kind !== 'changed') throw new Error(`wanted a change, found ${JSON.stringify(decision)}`);
  return decision.change.after;
}

describe('a BSON value of another copy of bson', () => {
  test('is of another copy, which ours refuses', () => {
    expect(foreign.ObjectId).not.toBe(own.ObjectId);
    expect(() => own.serialize({ id: new foreign.ObjectId(ID) })).toThrow();
  });

  test.each(VALUES)('is stored as ours would be: %s', (_what, make) => {
    const wanted = Buffer.from(own.serialize({ _id: 1, value: make(own) }));
    expect(storedWith(make(own))).toEqual(wanted);
    expect(storedWith(make(foreign))).toEqual(wanted);
  });

  test('inside one of ours is stored as well', () => {
    const wanted = Buffer.from(own.serialize({ _id: 1, value: new own.DBRef('others', new own.ObjectId(ID)) }));
    expect(storedWith(new own.DBRef('others', new foreign.ObjectId(ID) as never))).toEqual(wanted);
  });
});
