import { describe, expect, test } from 'vitest';
import { isKept, isReject, type TransformStep } from '../../src/domain/migration.js';
import { references } from '../../src/domain/references-step.js';
import { type Doc, isPlainObject } from '../../src/kernel/values.js';
import { refusalOf } from '../support/refusal.js';

const OTHERS = [
  { _id: 'a', key: 1 },
  { _id: 'b', key: 2 },
  { _id: 'c', key: 3 },
  { _id: 'd', key: 3 },
  // A key that is another one's _id, and one that is its own.
  { _id: 'e', key: 'a' },
  { _id: 'f', key: 'f' },
];

const table = (field: '_id' | 'key') => ({
  get: (value: unknown) => OTHERS.find((other) => other[field] === value),
  all: (value: unknown) => OTHERS.filter((other) => other[field] === value),
});
const LOOKUP = { byKey: table('key'), byId: table('_id') };

const stepFor = (path: string, more: object = {}): TransformStep =>
  references({ collection: 'people', path, to: 'others', by: 'key', ...more });

const up = (step: TransformStep, doc: Doc): unknown => step.up(doc, { lookup: LOOKUP } as never);

const refused = (options: object): string => refusalOf(() => references(options as never));

describe('references()', () => {
  test('is a transform that looks the values up by the key and by the _id', () => {
    expect(stepFor('team.owner', { filter: { n: 1 } })).toMatchObject({
      kind: 'transform',
      collection: 'people',
      filter: { n: 1 },
      lookup: {
        byKey: { from: 'others', localField: 'team.owner', foreignField: 'key' },
        byId: { from: 'others', localField: 'team.owner', foreignField: '_id' },
      },
      refers: { path: 'team.owner', to: 'others', by: 'key', dangling: 'report' },
    });
  });

  test.each([
    ['a field', 'owner', { owner: 1 }, { owner: 'a' }],
    ['a nested field', 'team.owner', { team: { owner: 2, n: 1 } }, { team: { owner: 'b', n: 1 } }],
    ['an array', 'owners', { owners: [1, 2, null, 1] }, { owners: ['a', 'b', null, 'a'] }],
    [
      'an array of documents',
      'items.owner',
      { items: [{ owner: 1 }, {}, { owner: 2 }] },
      { items: [{ owner: 'a' }, {}, { owner: 'b' }] },
    ],
    [
      'arrays in arrays',
      'rows.owner',
      { rows: [[{ owner: 1 }], [{ owner: [2] }]] },
      { rows: [[{ owner: 'a' }], [{ owner: ['b'] }]] },
    ],
    ['a map', 'roles.*', { roles: { admin: 1, guest: 2 } }, { roles: { admin: 'a', guest: 'b' } }],
    [
      'a map of documents',
      'roles.*.owner',
      { roles: { x: { owner: 1 }, y: 7 } },
      { roles: { x: { owner: 'a' }, y: 7 } },
    ],
  ])('resolves %s, and what it made stays', (_, path, before, after) => {
    const step = stepFor(path);
    expect(up(step, before)).toEqual(after);
    expect(up(step, after)).toBe(after);
  });

  test('gives the very same document back where nothing is to change', () => {
    const doc = { owners: [9, 'a', Number.NaN, { x: 1 }], other: [1] };
    expect(up(stepFor('owners'), doc)).toBe(doc);
    expect(up(stepFor('nothing.there'), doc)).toBe(doc);
    const mixed = { list: [{ owner: 1 }, { n: [1] }] };
    expect((up(stepFor('list.owner'), mixed) as typeof mixed).list[1]).toBe(mixed.list[1]);
  });

  test.each([
    ['report', { owner: 9, owners: [1, 9] }, { owner: 9, owners: ['a', 9] }],
    ['null', { owner: null, owners: [1, 9] }, { owner: 9, owners: ['a', null] }],
    ['remove', { owners: [1, 9] }, { owner: 9, owners: ['a'] }],
  ] as const)('does as it is asked (%s) with values that name nothing', (dangling, field, array) => {
    const doc = { owner: 9, owners: [1, 9] };
    expect(up(stepFor('owner', { dangling }), doc)).toEqual(field);
    expect(up(stepFor('owners', { dangling }), doc)).toEqual(array);
    expect(stepFor('owner', { dangling }).drops).toEqual(dangling === 'report' ? [] : ['owner']);
  });

  test('rejects the document where it is asked to, and where a value names several it would have to lose', () => {
    const rejected = (dangling: string, owner: unknown): unknown => {
      const result = up(stepFor('owner', { dangling }), { owner });
      return isReject(result) ? result.reason : result;
    };
    expect(rejected('reject', 9)).toMatch(
      /one document of others by key .* at "owner", found a value that names no document/,
    );
    expect(rejected('reject', 1)).toEqual({ owner: 'a' });
    for (const dangling of ['null', 'remove', 'reject'])
      expect(rejected(dangling, 3)).toMatch(/found a value that names more than one document/);
    expect(rejected('report', 3)).toEqual({ owner: 3 });
  });

  test('does not guess whether a value is a key or an _id', () => {
    expect(up(stepFor('owner'), { owner: 'a' })).toEqual({ owner: 'a' });
    expect(isReject(up(stepFor('owner', { dangling: 'null' }), { owner: 'a' }))).toBe(true);
    expect(up(stepFor('owner', { dangling: 'null' }), { owner: 'f' })).toEqual({ owner: 'f' });
  });

  test('does not hide an error that is none of its own', () => {
    const lookup = { ...LOOKUP, byKey: { all: () => JSON.parse('{') } };
    expect(() => stepFor('owner').up({ owner: 1 }, { lookup } as never)).toThrow(SyntaxError);
  });

  test.each([
    ['no path', { path: '' }, 'references().path as a text'],
    ['a path with a hole', { path: 'a..b' }, 'names between the dots'],
    ['the _id', { path: '_id.n' }, 'a path other than "_id"'],
    ['no other collection', { to: undefined }, 'references().to as a text'],
    ['no key', { by: '' }, 'references().by as a text'],
    ['neither a key nor a merge', { by: undefined }, 'either `by` or `from`'],
    ['both', { from: 'clients' }, 'either `by` or `from`'],
    ['the _id as a key', { by: '_id' }, 'a field other than "_id"'],
    ['an unknown way with what dangles', { dangling: 'drop' }, 'one of report, null, remove, reject'],
    ['an unknown key', { using: 'clients' }, 'found "using"'],
    ['an empty filter', { filter: {} }, 'an empty filter'],
  ])('refuses %s', (_, options, says) => {
    const all = { collection: 'people', path: 'owner', to: 'others', by: 'key', ...options };
    expect(refused(all)).toContain('GODWIT_MIGRATION_BROKEN');
    expect(refused(all)).toContain(says);
  });

  describe('through a merge', () => {
    const MERGED = [
      { _id: 'a', id: 1 },
      { _id: 'b', id: 2 },
      // One that kept its _id, one whose _id another contact has.
      { _id: 3, id: 3 },
      { _id: 'd', id: 4 },
    ];
    const CONTACTS = [{ _id: 'a' }, { _id: 'b' }, { _id: 3 }, { _id: 4 }, { _id: 'd' }];
    const tableOf = <T extends object>(documents: readonly T[], field: keyof T) => ({
      get: (value: unknown) => documents.find((one) => one[field] === value),
      all: (value: unknown) => documents.filter((one) => one[field] === value),
    });
    const lookup = {
      byKey: tableOf(MERGED, 'id'),
      'byKey Client': tableOf(MERGED, 'id'),
      'byKey Lead': tableOf([{ _id: 'b', id: 1 }], 'id'),
      byId: tableOf(CONTACTS, '_id'),
    };
    /** With what `keep()` stands for in its place. */
    const resolved = (value: unknown): unknown => {
      if (isReject(value)) return value;
      if (isKept(value)) return (value.from as Doc)[String(value.path[0])];
      if (Array.isArray(value)) return value.map(resolved);
      return isPlainObject(value)
        ? Object.fromEntries(Object.entries(value).map(([name, item]) => [name, resolved(item)]))
        : value;
    };
    const through = (options: object, document: Doc): unknown =>
      resolved(
        references({ collection: 'notes', to: 'contacts', ...options } as never).up(document, { lookup } as never),
      );

    test('_ids of merged documents become those of theirs; what could be either is left', () => {
      const step = { path: 'clients', from: 'clients' };
      expect(through(step, { clients: [1, 2, 'a', 3, 4, 9] })).toEqual({ clients: ['a', 'b', 'a', 3, 4, 9] });
    });

    const TYPED = {
      path: 'about.id',
      typePath: 'about.kind',
      from: { Client: 'clients', Lead: 'leads' },
      typeTo: 'Contact',
    };

    test.each([
      ['a type', { about: { kind: 'Client', id: 4 } }, { about: { kind: 'Contact', id: 'd' } }],
      ['another type', { about: { kind: 'Lead', id: 1 } }, { about: { kind: 'Contact', id: 'b' } }],
      ['an _id that stays', { about: { kind: 'Client', id: 3 } }, { about: { kind: 'Contact', id: 3 } }],
      ['what is done', { about: { kind: 'Contact', id: 4 } }, { about: { kind: 'Contact', id: 4 } }],
      ['a type of others', { about: { kind: 'Deal', id: 1 } }, { about: { kind: 'Deal', id: 1 } }],
      ['what dangles', { about: { kind: 'Client', id: 9 } }, { about: { kind: 'Client', id: 9 } }],
      ['a null', { about: { kind: 'Client', id: null } }, { about: { kind: 'Client', id: null } }],
      [
        'an array',
        { about: [{ kind: 'Client', id: 1 }, { kind: 'Deal', id: 2 }, 'x'] },
        { about: [{ kind: 'Contact', id: 'a' }, { kind: 'Deal', id: 2 }, 'x'] },
      ],
    ])('types beside _ids: %s', (_, before, after) => {
      expect(through(TYPED, before)).toEqual(after);
      expect(through(TYPED, after)).toEqual(after);
    });

    test('at the top of a document, and with what dangles taken away', () => {
      const step = { ...TYPED, path: 'id', typePath: 'kind' };
      expect(through(step, { kind: 'Client', id: 1 })).toEqual({ kind: 'Contact', id: 'a' });
      expect(through({ ...step, dangling: 'null' }, { kind: 'Lead', id: 2 })).toEqual({ kind: 'Lead', id: null });
      expect(through({ ...step, dangling: 'remove' }, { kind: 'Lead', id: 2 })).toEqual({ kind: 'Lead' });
      expect(isReject(through({ ...step, dangling: 'reject' }, { kind: 'Lead', id: 2 }))).toBe(true);
    });

    test.each([
      ['a type elsewhere', { typePath: 'kind' }, 'a field beside the value'],
      ['no type afterwards', { typeTo: undefined }, 'references().typeTo as a text'],
      ['no types', { from: {} }, 'at least one type'],
      ['one collection for types', { from: 'clients' }, 'collections by their types'],
      ['the same type before and after', { typeTo: 'Lead' }, 'another type'],
    ])('refuses %s', (_, options, says) => {
      const all = { collection: 'notes', to: 'contacts', ...TYPED, ...options };
      expect(refused(all)).toContain(says);
    });
  });
});
