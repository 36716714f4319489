import { Decimal128, Double, Int32, Long, ObjectId, serialize } from 'bson';
import { describe, expect, test } from 'vitest';
import { changeOf, decide, plainOf } from '../../src/domain/change.js';
import { keep, reject, skip } from '../../src/domain/migration.js';
import { storedDocument } from '../../src/domain/stored-document.js';
import { type Doc, deepFreeze, toTyped } from '../../src/kernel/values.js';

const stored = (document: object) => storedDocument(Buffer.from(serialize(document)));

/** What `up` makes of a document, as a run would decide it. */
function decided(document: object, up: (doc: Doc) => unknown) {
  const before = stored(document);
  const plain = deepFreeze(plainOf(before));
  return decide(before, plain, up(plain));
}

function changed(document: object, up: (doc: Doc) => unknown) {
  const decision = decided(document, up);
  if (decision.kind !== 'changed')
    throw new Error(
      `wanted a change, found ${JSON.stringify(decision.kind === 'failed' ? decision.failure : decision.kind)}`,
    );
  const { after, set, unset } = decision.change;
  return { after: toTyped(after), names: Object.keys(toTyped(after)), set: [...set.keys()], unset, bytes: after };
}

describe('a change', () => {
  test('is none when the transform returns what it was given, or equal content', () => {
    expect(decided({ _id: 1, a: { b: [1, 2] } }, (doc) => doc).kind).toBe('unchanged');
    expect(decided({ _id: 1, a: { b: [1, 2] } }, () => ({ a: { b: [1, 2] }, _id: 1 })).kind).toBe('unchanged');
    expect(decided({ _id: 1, a: new Double(1) }, (doc) => ({ ...doc, a: 1 })).kind).toBe('unchanged');
    expect(decided({ _id: 1, at: new Date(5) }, (doc) => ({ ...doc, at: new Date(5) })).kind).toBe('unchanged');
  });

  test('keeps existing fields in their place and appends new ones in the order of the transform', () => {
    const { names, set, unset } = changed({ _id: 1, a: 1, b: 2, c: 3 }, ({ b, ...doc }) => ({
      zeta: 1,
      ...doc,
      a: 9,
      alpha: 2,
    }));
    expect(names).toEqual(['_id', 'a', 'c', 'zeta', 'alpha']);
    expect([set, unset]).toEqual([['zeta', 'a', 'alpha'], ['b']]);
  });

  test('takes undefined as absent, at the top and below', () => {
    expect(changed({ _id: 1, a: 1 }, (doc) => ({ ...doc, a: undefined })).unset).toEqual(['a']);
    expect(changed({ _id: 1, a: { b: 1, c: 2 } }, () => ({ _id: 1, a: { b: undefined, c: 2 } })).after).toEqual({
      _id: new Int32(1),
      a: { c: new Int32(2) },
    });
  });

  test('keeps the BSON type of what stays at its path in a changed object', () => {
    const { after } = changed(
      { _id: 1, a: { d: new Double(1), l: Long.fromNumber(2), list: [new Double(3), 4] } },
      (doc) => ({
        ...doc,
        a: { ...(doc['a'] as object), more: 1 },
      }),
    );
    expect(after['a']).toMatchObject({
      d: { _bsontype: 'Double' },
      l: { _bsontype: 'Long' },
      list: [{ _bsontype: 'Double' }, { _bsontype: 'Int32' }],
    });
  });

  test('moves a typed value by keep(), from any path', () => {
    const { after } = changed({ _id: 1, a: { d: new Double(1) }, 'x.y': new Double(2) }, (doc) => ({
      ...doc,
      moved: keep('a.d'),
      odd: { deep: keep(['x.y']) },
      gone: keep('nowhere.at.all'),
    }));
    expect(after).toMatchObject({ moved: { _bsontype: 'Double' }, odd: { deep: { _bsontype: 'Double' } } });
    expect('gone' in after).toBe(false);
  });

  test('keeps names that objects are bad at: __proto__, dotted, dollar, empty', () => {
    const odd = new Map<string, unknown>([
      ['_id', 1],
      ['__proto__', 1],
      ['a.b', 2],
      ['$x', 3],
      ['', 4],
    ]);
    const before = storedDocument(Buffer.from(serialize(odd as never)));
    const plain = deepFreeze(plainOf(before));
    const decision = decide(before, plain, { ...plain, more: 5 });
    expect(decision.kind === 'changed' && [...decision.change.set.keys()]).toEqual(['more']);
    expect(decision.kind === 'changed' && decision.change.after.includes(Buffer.from('__proto__'))).toBe(true);
  });

  test.each<[string, (doc: Doc) => unknown, string]>([
    ['nothing', () => undefined, 'GODWIT_TRANSFORM_RETURN'],
    ['null', () => null, 'GODWIT_TRANSFORM_RETURN'],
    ['an array', () => [], 'GODWIT_TRANSFORM_RETURN'],
    ['a number', () => 1, 'GODWIT_TRANSFORM_RETURN'],
    ['a class instance', () => new (class Thing {})(), 'GODWIT_TRANSFORM_RETURN'],
    ['a promise', async (doc) => doc, 'GODWIT_TRANSFORM_ASYNC'],
    ['another _id', (doc) => ({ ...doc, _id: 2 }), 'GODWIT_TRANSFORM_ID'],
    ['no _id', () => ({ a: 2 }), 'GODWIT_TRANSFORM_ID'],
    ['a function inside', (doc) => ({ ...doc, f: () => 1 }), 'GODWIT_TRANSFORM_VALUE'],
    ['a symbol inside', (doc) => ({ ...doc, f: Symbol('x') }), 'GODWIT_TRANSFORM_VALUE'],
    ['a promise inside', (doc) => ({ ...doc, f: { g: Promise.resolve() } }), 'GODWIT_TRANSFORM_VALUE'],
    ['a class inside', (doc) => ({ ...doc, f: [new URL('http://x.test')] }), 'GODWIT_TRANSFORM_VALUE'],
    ['a rejection', () => reject('no mail'), 'GODWIT_REJECTED'],
    ['a skip inside', (doc) => ({ ...doc, f: skip() }), 'GODWIT_TRANSFORM_VALUE'],
    ['17 MiB', (doc) => ({ ...doc, f: 'x'.repeat(17 * 1024 * 1024) }), 'GODWIT_TOO_LARGE'],
  ])('is refused for %s', (_what, up, code) => {
    expect(decided({ _id: 1, a: 1 }, up)).toMatchObject({ kind: 'failed', failure: { code } });
  });

  test('is refused for a cycle, without running out of stack', () => {
    const loop: Doc = {};
    loop['self'] = loop;
    expect(decided({ _id: 1 }, (doc) => ({ ...doc, loop }))).toMatchObject({
      kind: 'failed',
      failure: { code: 'GODWIT_TRANSFORM_VALUE' },
    });
  });

  test('leaves a document with doubled names alone, unless nothing in it changes', () => {
    const one = serialize({ _id: 1, a: 1, b: 2 });
    const bytes = Buffer.from(one);
    bytes[bytes.indexOf(Buffer.from('b\0'))] = 'a'.charCodeAt(0);
    const before = storedDocument(bytes);
    const plain = deepFreeze(plainOf(before));
    expect(decide(before, plain, plain).kind).toBe('unchanged');
    expect(decide(before, plain, { ...plain, c: 1 })).toMatchObject({
      kind: 'failed',
      failure: { code: 'GODWIT_NOT_CARRIED' },
    });
  });

  test('made from names and values has the bytes that the transform would have made', () => {
    const before = { _id: new ObjectId(), a: 1, b: Decimal128.fromString('5.00'), c: 'x' };
    const { bytes } = changed(before, ({ a, ...doc }) => ({ ...doc, c: 'y', z: 1 }));
    expect(
      changeOf(
        stored(before),
        new Map<string, unknown>([
          ['c', 'y'],
          ['z', 1],
        ]),
        ['a'],
      ).after.equals(bytes),
    ).toBe(true);
  });
});
