import { describe, expect, test } from 'vitest';
import { type AnyStep, defineMigration, isKept, isReject, keep, transform } from '../../src/domain/migration.js';
import { schema } from '../../src/domain/schema-step.js';
import { schemaStepsOf } from '../../src/domain/series-step.js';
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

describe('steps of collections and indexes', () => {
  const contacts = { collection: 'contacts' } as const;
  const people = transform({ collection: 'people', all: true, up: (doc) => doc });
  const define = (...steps: readonly AnyStep[]): string =>
    refusalOf(() => defineMigration({ description: 'a test', steps }));

  test.each<[() => unknown, string]>([
    [() => schema.createIndex({ ...contacts, key: {} }), 'wanted a field in schema.createIndex().key, found none'],
    [
      () => schema.createIndex({ ...contacts, key: { a: 1 }, unique: true } as never),
      'wanted the keys collection, key, options in schema.createIndex(), found "unique"',
    ],
    [
      () => schema.dropIndex({ ...contacts, name: '_id_' }),
      'wanted one index in schema.dropIndex().name, not that of _id, found "_id_"',
    ],
    [
      () => schema.dropCollection({ name: 'contacts' } as never),
      "wanted a way back from schema.dropCollection(): keepAs: 'contacts_old', found none (nothing audits the documents of a dropped collection)",
    ],
    [
      () => schema.createCollection({ name: 'log', options: { capped: true, size: 9 } }),
      'wanted an ordinary collection in schema.createCollection().options, found "capped"',
    ],
    [
      () => schema.createCollection({ name: 'system.users' }),
      'wanted schema.createCollection().name as a collection of the application\'s, found "system.users"',
    ],
    [
      () => schema.setValidator({ ...contacts, validator: {}, level: 'hard' } as never),
      'wanted off, moderate, strict in schema.setValidator().level, found "hard"',
    ],
  ])('are refused when they are wrong (%#)', (step, message) => {
    expect(refusalOf(step)).toBe(`GODWIT_MIGRATION_BROKEN: ${message}`);
  });

  test('are refused where they cannot find what they are about', () => {
    expect(define(people, schema.createCollection({ name: 'new' }))).toMatch(
      /before all steps of documents, found "new"/,
    );
    expect(define(schema.createCollection({ name: 'people' }), people)).toMatch(/found "people", which is new/);
    expect(define(people, schema.renameCollection({ from: 'people', to: 'old' }))).toMatch(/another step of "people"/);
    const index = schema.createIndex({ collection: 'people', key: { a: 1 } });
    expect(define(people, index, people)).toMatch(/others between those of "people"/);
  });

  test('have their places between the units of documents', () => {
    const index = schema.createIndex({ collection: 'people', key: { a: 1 } });
    const other = transform({ collection: 'other', all: true, up: (doc) => doc });
    const placed = schemaStepsOf([index, people, people, index, other, index]).map(({ at }) => at);
    expect(placed).toEqual([0, 1, 2]);
  });
});
