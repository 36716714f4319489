import {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  serialize,
  Timestamp,
} from 'bson';
import { describe, expect, test } from 'vitest';
import { assemble, findField, idKey, scanFields, splitDocuments } from '../../src/kernel/raw-bson.js';
import { randomFrom } from '../support/crash.js';

/** An element of every type; the order is that of the type bytes where there is one. */
const EVERY_TYPE = {
  _id: new ObjectId('64b7f0c2a1b2c3d4e5f60718'),
  double: new Double(1.5),
  text: 'täxt',
  object: { a: { b: [] } },
  array: [1, [2]],
  binary: new Binary(Buffer.from([1, 2, 3]), 128),
  old: new Binary(Buffer.from([1, 2, 3]), 2),
  bool: true,
  date: new Date(-1),
  nothing: null,
  regex: new BSONRegExp('a.b', 'im'),
  code: new Code('f()'),
  symbol: new BSONSymbol('s'),
  scoped: new Code('f()', { x: 1 }),
  int: new Int32(7),
  timestamp: new Timestamp({ t: 1, i: 2 }),
  long: Long.fromNumber(8),
  min: new MinKey(),
  max: new MaxKey(),
};
const BYTES = Buffer.from(serialize(EVERY_TYPE));

/** One element, and whether the scanner takes it. */
const withElement = (element: readonly number[]): Buffer => {
  const bytes = Buffer.from([0, 0, 0, 0, ...element, 0]);
  bytes.writeInt32LE(bytes.length);
  return bytes;
};

describe('the fields of a document', () => {
  test('are found for every type, one after the other, and make the same document again', () => {
    const fields = scanFields(BYTES);
    expect(fields.map(({ name }) => name)).toEqual(Object.keys(EVERY_TYPE));
    expect(fields[0]?.start).toBe(4);
    for (const [at, field] of fields.entries()) expect(field.end).toBe(fields[at + 1]?.start ?? BYTES.length - 1);
    expect(assemble(fields.map(({ start, end }) => BYTES.subarray(start, end)))).toEqual(BYTES);
  });

  test('of types that no driver writes any more are found too', () => {
    const undef = withElement([0x06, 97, 0]);
    const pointer = withElement([0x0c, 97, 0, 2, 0, 0, 0, 120, 0, ...Array<number>(12).fill(7)]);
    expect(scanFields(undef)).toMatchObject([{ name: 'a', type: 6, valueStart: 7, end: 7 }]);
    expect(scanFields(pointer)).toMatchObject([{ name: 'a', type: 12, end: pointer.length - 1 }]);
  });

  test.each<[string, readonly number[]]>([
    ['of an unknown type', [0x99, 97, 0, 0]],
    ['without the end of its name', [0x08, 97, 98, 99]],
    ['with a length beyond the document', [0x02, 97, 0, 99, 0, 0, 0, 0]],
    ['with a negative length, which would be read for ever', [0x02, 97, 0, 0xf9, 0xff, 0xff, 0xff, 0]],
    ['whose object has a negative length', [0x03, 97, 0, 0xfd, 0xff, 0xff, 0xff, 0]],
    ['cut off', [0x01, 97, 0, 0, 0]],
  ])('are refused when there is one %s', (_what, element) => {
    expect(() => scanFields(withElement(element))).toThrow(RangeError);
  });

  test('are refused or found, but never read for ever, whatever is cut off or broken', () => {
    const random = randomFrom(11);
    for (let length = 1; length < BYTES.length; length += 1)
      expect(() => splitDocuments(BYTES.subarray(0, length))).toThrow(RangeError);
    for (let round = 0; round < 5_000; round += 1) {
      const broken = Buffer.from(BYTES);
      for (let n = 0; n < 3; n += 1)
        broken[4 + Math.floor(random() * (broken.length - 4))] = Math.floor(random() * 256);
      try {
        expect(scanFields(broken).every(({ start, end }) => start < end && end < broken.length)).toBe(true);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
  });

  test('tell _ids apart by type and bytes', () => {
    const key = (_id: unknown): string => idKey(Buffer.from(serialize({ _id })));
    const ids = [new Int32(1), new Double(1), Long.fromNumber(1), '1', null, { a: 1, b: 2 }, { b: 2, a: 1 }];
    expect(new Set(ids.map(key)).size).toBe(ids.length);
    expect(key(new Int32(1))).toBe(key(1));
    // Wherever it stands.
    expect(idKey(Buffer.from(serialize({ first: 'x', _id: 7, last: 1 })))).toBe(key(7));
    expect(() => idKey(Buffer.from(serialize({ a: 1 })))).toThrow(RangeError);
    expect(findField(BYTES, 'nowhere')).toBeUndefined();
  });

  test('lie one document after the other', () => {
    const other = Buffer.from(serialize({ a: 1 }));
    expect(splitDocuments(Buffer.concat([BYTES, other, BYTES]))).toEqual([BYTES, other, BYTES]);
    expect(splitDocuments(Buffer.alloc(0))).toEqual([]);
    for (const broken of [
      [0, 0, 0, 0, 0],
      [4, 0, 0, 0],
      [0xff, 0xff, 0xff, 0xff, 0],
      [5, 0, 0],
    ])
      expect(() => splitDocuments(Buffer.from(broken))).toThrow(RangeError);
  });
});
