import { describe, expect, test } from 'vitest';
import { isKept, isReject, keep } from '../../src/domain/migration.js';
import { schema } from '../../src/domain/schema-step.js';
import type { Doc } from '../../src/kernel/values.js';
import { refusalOf } from '../support/refusal.js';

/** The result, with what is kept as the path that it comes from. */
function up(from: string, to: string, doc: Doc): unknown {
  const shown = (value: unknown): unknown => {
    if (isKept(value)) return `<${value.path.join('.')}>`;
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shown(inner)]));
  };
  const result = schema.renameField({ collection: 'people', from, to }).up(doc, { keep } as never);
  return isReject(result) ? result.reason : shown(result);
}

const refused = (options: object): string =>
  refusalOf(() => schema.renameField({ collection: 'people', from: 'a', to: 'b', ...options } as never));

describe('schema.renameField()', () => {
  test.each([
    ['a name', 'a', 'z', { _id: 1, a: 2, b: 3 }, { _id: 1, b: 3, z: '<a>' }],
    ['into an object that is not there', 'a', 'x.y.z', { a: 2 }, { x: { y: { z: '<a>' } } }],
    ['into an object that is', 'a', 'x.z', { x: { y: 1 }, a: 2 }, { x: { y: 1, z: '<a>' } }],
    ['out of an object', 'x.y', 'a', { x: { y: 1, k: 2 } }, { x: { k: 2 }, a: '<x.y>' }],
    ['inside one object', 'x.y', 'x.z', { x: { y: 1, k: 2 } }, { x: { k: 2, z: '<x.y>' } }],
    ['null, which is a value', 'a', 'z', { a: null }, { z: '<a>' }],
  ])('moves %s', (_, from, to, before, after) => {
    expect(up(from, to, before)).toEqual(after);
    expect(JSON.stringify(up(from, to, before))).toBe(JSON.stringify(after));
  });

  test.each([
    ['that have the new one', 'a', 'z', { z: 1 }],
    ['that have neither', 'a.b', 'z', { a: 7 }],
    ['whose way ends early', 'a.b.c', 'z', { a: { b: null } }],
  ])('leaves documents as they are %s', (_, from, to, doc) => {
    expect(schema.renameField({ collection: 'people', from, to }).up(doc, { keep } as never)).toBe(doc);
  });

  test.each([
    ['both', 'a', 'z', { a: 1, z: 2 }, 'wanted one of "a" and "z", found both'],
    ['an array on the way there', 'a.b', 'z', { a: [{ b: 1 }] }, 'wanted objects on the way to "a.b", found an array'],
    ['an array on the way to', 'a', 'z.b', { a: 1, z: [] }, 'wanted objects on the way to "z.b", found an array'],
    [
      'a value on the way to',
      'a',
      'z.b',
      { a: 1, z: 'text' },
      'wanted objects on the way to "z.b", found another value',
    ],
  ])('rejects documents with %s', (_, from, to, doc, reason) => {
    expect(up(from, to, doc)).toBe(reason);
  });

  test('leads back by name where neither is inside an object', () => {
    const flat = schema.renameField({ collection: 'people', from: 'a', to: 'z' });
    expect(flat.down?.({ _id: 1, z: 2 }, { keep } as never)).toEqual({ _id: 1, a: keep(['z']) });
    expect(schema.renameField({ collection: 'people', from: 'a', to: 'x.z' }).down).toBeUndefined();
  });

  test.each([
    ['no name', { from: '' }, 'schema.renameField().from as a text'],
    ['a hole in a path', { to: 'x..y' }, 'names between the dots'],
    ['the _id', { from: '_id' }, 'another field than "_id"'],
    ['the same', { to: 'a' }, 'neither holds the other'],
    ['one inside the other', { to: 'a.b' }, 'neither holds the other'],
    ['an unknown key', { up: 1 }, 'found "up"'],
    ['an empty filter', { filter: {} }, 'an empty filter'],
  ])('refuses %s', (_, options, says) => {
    expect(refused(options)).toContain('GODWIT_MIGRATION_BROKEN');
    expect(refused(options)).toContain(says);
  });
});
