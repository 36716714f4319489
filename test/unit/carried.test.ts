/** What is plain to see in the bytes must be so: held against taking the document through JavaScript and back. */
import {
  Binary,
  BSONRegExp,
  Code,
  Decimal128,
  Double,
  deserialize,
  Int32,
  Long,
  ObjectId,
  serialize,
  Timestamp,
} from 'bson';
import { describe, expect, test } from 'vitest';
import { isDocumentCarried } from '../../src/domain/carried.js';
import { storedDocument } from '../../src/domain/stored-document.js';
import { randomFrom } from '../support/crash.js';

const PLAIN = {
  _id: new ObjectId('64b7f0c2a1b2c3d4e5f60718'),
  name: { first: 'Zoë', last: 'O’Brien', nick: null },
  tags: ['a', ['b', { c: 1 }], []],
  born: new Date(-1),
  balance: new Double(-0),
  one: new Double(1),
  n: new Int32(7),
  big: Long.fromString('9007199254740993'),
  isActive: true,
  empty: {},
};

/** There and back again, without a look at the bytes. */
function survives(bytes: Buffer): boolean {
  try {
    const typed = deserialize(bytes, {
      promoteValues: false,
      promoteLongs: false,
      bsonRegExp: true,
      validation: { utf8: false },
    });
    return Buffer.from(serialize(typed, { ignoreUndefined: true })).equals(bytes);
  } catch {
    return false;
  }
}

/** The bytes of `{ _id: 1, a: value }`, whose value is written by hand. */
function withValue(type: number, ...value: readonly number[]): Buffer {
  const bytes = Buffer.from([0, 0, 0, 0, 0x10, 95, 105, 100, 0, 1, 0, 0, 0, type, 97, 0, ...value, 0]);
  bytes.writeInt32LE(bytes.length);
  return bytes;
}

const doubled = Buffer.from(serialize({ _id: 1, in: { aa: 1, ab: 2 } }));
doubled.write('aa', doubled.indexOf('ab'));

describe('a document is called carried exactly when it comes back as the same bytes', () => {
  test.each<[string, Buffer]>([
    ['of plain values', Buffer.from(serialize(PLAIN))],
    [
      'with values of other types',
      Buffer.from(serialize({ _id: 1, a: [Decimal128.fromString('5.00'), new Binary(Buffer.alloc(3), 2)] })),
    ],
    [
      'with a regular expression, code and a timestamp',
      Buffer.from(
        serialize({
          _id: 1,
          r: new BSONRegExp('a', 'im'),
          c: new Code('f()', { x: 1 }),
          t: new Timestamp({ t: 1, i: 2 }),
        }),
      ),
    ],
    [
      'with names like numbers in another order',
      Buffer.from(
        serialize(
          new Map<string, unknown>([
            ['_id', 1],
            ['b', 1],
            ['7', 1],
          ]),
        ),
      ),
    ],
    ['with odd names', Buffer.from(serialize({ _id: 1, '': 1, $a: 1, 'a.b': 1, ä: 1 }))],
    [
      'with what looks like a class',
      Buffer.from(
        serialize(
          new Map<string, unknown>([
            ['_id', 1],
            ['a', new Map([['_bsontype', 'ObjectId']])],
          ]),
        ),
      ),
    ],
    ['with a name that occurs twice inside', doubled],
    ['with a NaN', Buffer.from(serialize({ _id: 1, a: Number.NaN }))],
    ['with a NaN of other bits', withValue(0x01, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f)],
    ["with a date beyond JavaScript's", withValue(0x09, 0, 0, 0, 0, 0, 0, 0, 0x70)],
    [
      "with JavaScript's last date",
      withValue(0x09, ...Buffer.from(new BigInt64Array([8_640_000_000_000_000n]).buffer)),
    ],
    ['with a boolean that is neither', withValue(0x08, 2)],
    ['with invalid UTF-8', withValue(0x02, 2, 0, 0, 0, 0xff, 0)],
    ['with a text whose end is none', withValue(0x02, 2, 0, 0, 0, 97, 98)],
    ['with undefined', withValue(0x06)],
    ['with an array whose places have other names', withValue(0x04, 12, 0, 0, 0, 0x10, 49, 0, 1, 0, 0, 0, 0)],
  ])('%s', (_what, bytes) => {
    expect(isDocumentCarried(storedDocument(bytes))).toBe(survives(bytes));
  });

  test('whatever is changed in its bytes', () => {
    const random = randomFrom(7);
    const bytes = Buffer.from(serialize(PLAIN));
    const seen = { yes: 0, no: 0 };
    for (let round = 0; round < 20_000; round += 1) {
      const changed = Buffer.from(bytes);
      // Behind the _id, so that there still is one.
      changed[22 + Math.floor(random() * (changed.length - 22))] = Math.floor(random() * 256);
      const isCarried = isDocumentCarried(storedDocument(changed));
      seen[isCarried ? 'yes' : 'no'] += 1;
      if (isCarried !== survives(changed)) throw new Error(`${changed.toString('hex')} is called ${isCarried}`);
    }
    expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(1_000);
  });
});
