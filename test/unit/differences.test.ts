/** What a report says of a change is told from bytes: nothing that is stored in another way is invisible. */
import { BSONRegExp, DBRef, Decimal128, Double, Int32, Long, ObjectId, serialize, UUID } from 'bson';
import { describe, expect, test } from 'vitest';
import { differencesOf, foldedPath, pathText, typeOf } from '../../src/domain/differences.js';
import { NumberTypes } from '../../src/domain/number-types.js';
import { storedDocument } from '../../src/domain/stored-document.js';
import { FieldHistogram } from '../../src/report/fields.js';
import { render } from '../../src/report/render-value.js';

const bytesOf = (document: object): Buffer => Buffer.from(serialize({ _id: 'x', ...document }));

/** Of all fields: those that are the same do not differ. */
function found(before: object, after: object) {
  const set = new Map<string, unknown>(Object.entries(after));
  const unset = Object.keys(before).filter((name) => !set.has(name));
  return differencesOf({ before: storedDocument(bytesOf(before)), after: bytesOf(after), set, unset });
}

const told = (before: object, after: object): string[] =>
  found(before, after).map(
    ({ path, before: old, after: now }) => `${pathText(path)}: ${typeOf(old)} -> ${typeOf(now)}`,
  );

const ID = '64b7f0c2a1b2c3d4e5f60718';

describe('a difference', () => {
  test.each<[string, object, object, string[]]>([
    [
      'a text that becomes an ObjectId',
      { at: [{ id: ID }] },
      { at: [{ id: new ObjectId(ID) }] },
      ['at.0.id: string -> objectId'],
    ],
    [
      'a text that becomes a date, deep in arrays',
      { a: [[{ t: '2026-01-01T00:00:00.000Z' }]] },
      { a: [[{ t: new Date('2026-01-01T00:00:00.000Z') }]] },
      ['a.0.0.t: string -> date'],
    ],
    [
      'a text that becomes a UUID',
      { a: ['2667fae8-764d-4013-b7e1-197a3de3d629'] },
      { a: [new UUID('2667fae8-764d-4013-b7e1-197a3de3d629')] },
      ['a.0: string -> binary'],
    ],
    ['a number that becomes another number', { n: [new Int32(1)] }, { n: [new Double(1)] }, ['n.0: int32 -> double']],
    [
      'a text that becomes a Decimal128',
      { n: { p: '1.10' } },
      { n: { p: Decimal128.fromString('1.10') } },
      ['n.p: string -> decimal128'],
    ],
    ['a text that becomes a DBRef', { r: ID }, { r: new DBRef('users', new ObjectId(ID)) }, ['r: string -> dbRef']],
    [
      'a DBRef to another document',
      { r: new DBRef('a', new ObjectId(ID)) },
      { r: new DBRef('b', new ObjectId(ID)) },
      ['r: dbRef -> dbRef'],
    ],
    [
      'one price among many lines',
      { l: [{ p: 1 }, { p: 2 }, { p: 3 }] },
      { l: [{ p: 1 }, { p: 9 }, { p: 3 }] },
      ['l.1.p: int32 -> int32'],
    ],
    ['an item that goes from the middle', { l: ['a', 'b', 'c'] }, { l: ['a', 'c'] }, ['l.1: string -> absent']],
    [
      'items that come at the front',
      { l: ['c'] },
      { l: ['a', 'b', 'c'] },
      ['l.0: absent -> string', 'l.1: absent -> string'],
    ],
    ['the order of names', { o: { a: 1, b: 2 } }, { o: { b: 2, a: 1 } }, ['o: object -> object']],
    ['minus zero', { n: new Double(0) }, { n: new Double(-0) }, ['n: double -> double']],
    [
      'the options of an expression',
      { r: new BSONRegExp('a', 'i') },
      { r: new BSONRegExp('a', 'ix') },
      ['r: regex -> regex'],
    ],
    [
      'a scale of a decimal',
      { d: Decimal128.fromString('5.0') },
      { d: Decimal128.fromString('5.00') },
      ['d: decimal128 -> decimal128'],
    ],
    ['an array that becomes an object', { a: [1] }, { a: { 0: 1 } }, ['a: array<int32> -> object']],
    ['nothing', { a: [1, { b: new Double(2) }] }, { a: [1, { b: new Double(2) }] }, []],
  ])('is told of %s', (_, before, after, says) => {
    expect(told(before, after)).toEqual(says);
  });

  test('is counted once a document, under one path for all items of an array', () => {
    const histogram = new FieldHistogram();
    const lines = (value: unknown) => ({ lines: [{ id: value }, { id: value }] });
    for (let n = 0; n < 3; n += 1) histogram.add(found(lines(ID), lines(new ObjectId(ID))));
    expect(histogram.toJSON()).toEqual({
      'lines[].id': { set: 3, unset: 0, typeChange: 3, types: { 'string -> objectId': 3 }, added: false },
    });
  });

  test('has a path that can be told from one of names that are numbers', () => {
    const [one] = found({ a: { 0: { b: 1 } } }, { a: { 0: { b: 2 } } });
    const [other] = found({ a: [{ b: 1 }] }, { a: [{ b: 2 }] });
    expect([one, other].map((difference) => foldedPath(difference?.path ?? []))).toEqual(['a.0.b', 'a[].b']);
  });
});

describe('types', () => {
  const typesOf = (...changes: [object, object][]): NumberTypes => {
    const types = new NumberTypes();
    for (const [before, after] of changes) types.add(found(before, after));
    return types;
  };

  test('of a path that would hold two are counted', () => {
    const { mixed } = typesOf(
      [{ qty: 1 }, { qty: 1, v: new Int32(2) }],
      [{ qty: 1 }, { qty: 1, v: new Int32(2) }],
      [{ qty: 1 }, { qty: 1, v: new Double(2) }],
      [{ qty: 1 }, { qty: 1, v: null }],
    );
    expect(mixed).toEqual({ v: { int32: 2, double: 1 } });
  });

  test.each<[string, object, object, object]>([
    ['at its path', { n: new Double(2) }, { n: new Int32(2) }, { n: { 'double -> int32': 1 } }],
    ['elsewhere', { n: Long.fromNumber(2) }, { m: { k: new Int32(2) } }, { 'm.k': { 'int64 -> int32': 1 } }],
    ['in an array', { n: [{ p: new Double(1) }] }, { n: [{ p: new Int32(1) }] }, { 'n[].p': { 'double -> int32': 1 } }],
    ['from a decimal', { n: Decimal128.fromString('5.00') }, { m: new Int32(5) }, { m: { 'decimal128 -> int32': 1 } }],
    ['that stays as it is', { n: new Double(2) }, { n: new Double(2), v: new Int32(2) }, {}],
    ['that went with its type', { n: new Double(2) }, { m: new Double(2) }, {}],
    ['that may come from another of its type', { n: new Double(2), k: new Int32(2) }, { m: new Int32(2) }, {}],
    ['that is another number', { n: new Double(2) }, { n: new Int32(3) }, {}],
  ])('of a number %s are counted where they change', (_, before, after, retyped) => {
    expect(typesOf([before, after]).retyped).toEqual(retyped);
  });
});

test.each<[unknown, string, string]>([
  [
    new DBRef('users', new ObjectId(ID)),
    `DBRef("users", objectId ${ID})`,
    'DBRef("users", objectId 99x9x9x9x9x9x9x9x9x99999)',
  ],
  [Decimal128.fromString('-1.10'), '-1.10', '-9.99'],
  [Long.fromString('9007199254740993'), '9007199254740993', '9999999999999999'],
  [new BSONRegExp('a.b', 'ix'), '/a.b/ix', '/x.x/ix'],
  [new Double(2), '2', '9'],
])('a value is printed as what it is: %s', (value, clear, masked) => {
  expect([
    render(value, true),
    render(value, false).replace(/objectId [9x]+/, 'objectId 99x9x9x9x9x9x9x9x9x99999'),
  ]).toEqual([clear, masked]);
});
