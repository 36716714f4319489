/** Values keep their BSON type wherever they go: what an author's function was given is known again in what it returned. */
import { BSONSymbol, Code, DBRef, Decimal128, Double, Int32, Long, ObjectId, serialize } from 'bson';
import type { Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { decide, plainOf } from '../../src/domain/change.js';
import { keep } from '../../src/domain/migration.js';
import { Given, GivenIndex } from '../../src/domain/origins.js';
import { storedDocument } from '../../src/domain/stored-document.js';
import { type Doc, deepFreeze, toPlain, toTyped, typeName } from '../../src/kernel/values.js';

const bytesOf = (document: object): Buffer => Buffer.from(serialize(document));

type Up = (doc: Document, other: Document) => unknown;

/** What is stored of `document`, with types; `other` is what a lookup has found. */
function storedOf(document: object, up: Up, other: object = { _id: 0 }): Doc {
  const before = storedDocument(bytesOf({ _id: 'x', ...document }));
  const plain = deepFreeze(plainOf(before));
  const found = new Given(deepFreeze(toPlain(bytesOf(other))), bytesOf(other));
  const output = up(plain, found.plain);
  const decision = decide(before, plain, output, new GivenIndex(() => [found]));
  if (decision.kind !== 'changed') throw new Error(JSON.stringify(decision));
  const { _id, ...fields } = toTyped(decision.change.after);
  return fields;
}

const typesIn = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(typesIn);
  if (typeName(value) !== 'object') return typeName(value);
  return Object.fromEntries(Object.entries(value as Doc).map(([name, item]) => [name, typesIn(item)]));
};

describe('an object or array that was given', () => {
  const HIST = [{ v: Number.NaN }, { v: new Double(1), d: new Double(2) }, { v: Long.fromNumber(3), d: new Int32(4) }];
  const LINE = { 'a.b': new Double(1), $x: Long.fromNumber(2), '': new Double(3), list: [new Double(4)] };

  test.each<[string, object, Up, unknown]>([
    [
      'in an array that was filtered',
      { hist: HIST },
      ({ hist, ...doc }) => ({ ...doc, hist: (hist as { v: number }[]).filter(({ v }) => !Number.isNaN(v)) }),
      {
        hist: [
          { v: 'double', d: 'double' },
          { v: 'int64', d: 'int32' },
        ],
      },
    ],
    [
      'in an array that was turned around',
      { hist: HIST },
      ({ hist, ...doc }) => ({ ...doc, hist: [...(hist as unknown[])].reverse() }),
      { hist: [{ v: 'int64', d: 'int32' }, { v: 'double', d: 'double' }, { v: 'double' }] },
    ],
    [
      'under another name, with names that have dots and dollars',
      { line: LINE },
      ({ line, ...doc }) => ({ ...doc, moved: { deep: line } }),
      { moved: { deep: { 'a.b': 'double', $x: 'int64', '': 'double', list: ['double'] } } },
    ],
    [
      'as the whole document in itself',
      { n: new Double(1) },
      (doc) => ({ ...doc, old: doc }),
      { n: 'double', old: { _id: 'string', n: 'double' } },
    ],
    [
      'twice',
      { at: [new Double(1), new Double(2)] },
      ({ at }) => ({ _id: 'x', from: at, to: { at } }),
      { from: ['double', 'double'], to: { at: ['double', 'double'] } },
    ],
    [
      'as the result itself',
      { inner: { _id: 'x', n: new Double(1), l: Long.fromNumber(2) } },
      ({ inner }) => inner,
      { n: 'double', l: 'int64' },
    ],
  ])('keeps its types %s', (_, document, up, types) => {
    expect(typesIn(storedOf(document, up))).toEqual(types);
  });

  test('keeps the numbers inside references and code', () => {
    const { moved } = storedOf(
      { ref: new DBRef('others', new Double(1) as never), code: new Code('f()', { n: new Double(2) }) },
      ({ ref, code }) => ({ _id: 'x', moved: [ref, code] }),
    ) as { moved: [{ oid: unknown }, { scope: Doc }] };
    expect([typeName(moved[0].oid), typeName(moved[1].scope['n'])]).toEqual(['double', 'double']);
  });

  test('of a lookup keeps them, whole or in part, and its numbers by keep()', () => {
    const owner = { _id: Long.fromNumber(9), balance: new Double(5), address: { zip: new Double(1000) } };
    const found = storedOf(
      { n: 1 },
      (doc, other) => ({
        ...doc,
        ...{ owner: other, address: other['address'] },
        ...{ balance: keep('balance', other), zip: keep('address.zip', other), inner: keep('zip', other['address']) },
      }),
      owner,
    );
    expect(typesIn(found)).toEqual({
      ...{ n: 'int32', owner: { _id: 'int64', balance: 'double', address: { zip: 'double' } } },
      ...{ address: { zip: 'double' }, balance: 'double', zip: 'double', inner: 'double' },
    });
  });

  test('is not known by its content: a copy has the types that JavaScript gives it', () => {
    expect(
      typesIn(
        storedOf({ n: 1 }, (doc, { a }) => ({ ...doc, a: { ...(a as Doc) } }), { _id: 0, a: { n: new Double(1) } }),
      ),
    ).toEqual({ n: 'int32', a: { n: 'int32' } });
  });

  test('and keep() of a document that was not given fails the document', () => {
    expect(() => storedOf({ n: 1 }, (doc) => ({ ...doc, m: keep('n', { n: 1 }) }))).toThrow(
      'a keep() of a document that the function was not given',
    );
  });
});

describe('a number', () => {
  test.each<[string, object, Up, unknown]>([
    [
      'takes its type along to another name',
      { qty: new Double(2) },
      ({ qty }) => ({ _id: 'x', amount: qty }),
      { amount: 'double' },
    ],
    [
      'takes its type along into an object',
      { qty: Long.fromNumber(2) },
      ({ qty }) => ({ _id: 'x', to: { n: qty } }),
      { to: { n: 'int64' } },
    ],
    [
      'takes its type along out of an object that was spread',
      { box: { a: new Double(1), b: Long.fromNumber(2) } },
      ({ box }) => ({ _id: 'x', ...(box as Doc) }),
      { a: 'double', b: 'int64' },
    ],
    [
      'takes its type along in elements that were made anew',
      { hist: [{ v: Number.NaN }, { v: new Double(1), d: new Double(2) }] },
      ({ hist }) => ({ _id: 'x', hist: (hist as { v: number }[]).filter(({ v }) => v > 0).map((one) => ({ ...one })) }),
      { hist: [{ v: 'double', d: 'double' }] },
    ],
    [
      'beside an equal one that stays is a new one',
      { qty: new Double(2) },
      (doc) => ({ ...doc, schemaVersion: 2 }),
      { qty: 'double', schemaVersion: 'int32' },
    ],
    [
      'beside an equal one that keep() has moved is a new one',
      { qty: new Double(2) },
      ({ qty, ...doc }) => ({ ...doc, amount: keep('qty'), schemaVersion: 2 }),
      { amount: 'double', schemaVersion: 'int32' },
    ],
    [
      'beside an equal one in an object that was moved is a new one',
      { box: { qty: new Double(2) } },
      ({ box, ...doc }) => ({ ...doc, moved: box, schemaVersion: 2 }),
      { moved: { qty: 'double' }, schemaVersion: 'int32' },
    ],
    [
      'whose equals have two types takes neither',
      { a: new Double(2), b: new Int32(2) },
      () => ({ _id: 'x', c: 2, d: 2 }),
      { c: 'int32', d: 'int32' },
    ],
    [
      'beyond 32 bits takes its type along',
      { n: Long.fromString('5000000000') },
      ({ n }) => ({ _id: 'x', m: n }),
      { m: 'int64' },
    ],
    [
      'that was computed is a new one',
      { n: new Double(2) },
      ({ n }) => ({ _id: 'x', m: (n as number) + 1 }),
      { m: 'int32' },
    ],
    [
      'that no number is exactly equal to is a new one',
      { n: Long.fromString('9007199254740993') },
      () => ({ _id: 'x', m: 9007199254740992 }),
      { m: 'double' },
    ],
  ])('%s', (_, document, up, types) => {
    expect(typesIn(storedOf(document, up))).toEqual(types);
  });

  test('and so does a symbol, which JavaScript sees as a text', () => {
    const document = { a: new BSONSymbol('on'), box: { b: new BSONSymbol('off') }, c: 'up', d: new BSONSymbol('up') };
    const found = storedOf(document, ({ a, box, c }) => ({ _id: 'x', e: a, f: [box.b], g: c, h: 'new' }));
    expect(typesIn(found)).toEqual({ e: 'symbol', f: ['symbol'], g: 'string', h: 'string' });
  });

  test('that is a Decimal128 or an ObjectId needs no rule: its class goes along', () => {
    const price = Decimal128.fromString('1.10');
    const found = storedOf({ price, id: new ObjectId() }, (doc) => ({
      _id: 'x',
      a: doc['price'],
      b: { c: doc['id'] },
    }));
    expect(typesIn(found)).toEqual({ a: 'decimal128', b: { c: 'objectId' } });
    expect(String(found['a'])).toBe('1.10');
  });
});
