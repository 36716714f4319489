/** The documents that a schedule begins with, as bytes; the same for the same schedule. */
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
  serialize,
  Timestamp,
  UUID,
} from 'bson';
import { patched } from '../support/raw-insert.js';
import { bsonValue, bytesOf, type Field, type Fields, fieldsOf } from './raw.js';
import type { IdKind, Schedule } from './schedule.js';

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
const objectId = (n: number): ObjectId => new ObjectId(hex(n + 1, 24));
const uuid = (n: number): UUID =>
  new UUID(`${hex(Math.imul(n + 1, 2_654_435_761) >>> 0, 8)}-0000-4000-8000-${hex(n, 12)}`);

/** One `_id` of each kind that there can be many of. */
const MIXED: readonly ((n: number) => unknown)[] = [
  (n) => new Int32(n),
  (n) => `id-${n}`,
  (n) => objectId(n),
  (n) => new Double(n + 0.5),
  (n) => ({ b: n, a: 'x' }),
  (n) => new Date(1_700_000_000_000 + n),
  (n) => Long.fromNumber(10_000_000_000 + n),
  (n) => new Binary(Buffer.from(hex(n, 8), 'hex'), 0),
  (n) => new Timestamp({ t: n + 1, i: 1 }),
  (n) => Decimal128.fromString(`${n}.25`),
  (n) => uuid(n),
  (n) => new Code(`f${n}`),
  (n) => new BSONSymbol(`symbol-${n}`),
];

/** There is one of each. */
const STRANGE: readonly unknown[] = [
  null,
  Number.NaN,
  new MinKey(),
  new MaxKey(),
  true,
  false,
  '',
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  { a: 1, b: 2 },
  { b: 2, a: 1 },
  {},
];

/** The n-th `_id` of a kind. */
export function idOfKind(kind: IdKind, n: number): unknown {
  switch (kind) {
    case 'objectId':
      return objectId(n);
    case 'int':
      return new Int32(n);
    case 'string':
      return `id-${hex(n, 6)}`;
    case 'object':
      return { tenant: n % 7, n };
    case 'uuid':
      return uuid(n);
    case 'mixed':
      return MIXED[n % MIXED.length]?.(n);
    case 'strange':
      return n < STRANGE.length ? STRANGE[n] : MIXED[n % MIXED.length]?.(n);
  }
}

const EVERY: readonly unknown[] = [
  new Double(1),
  new Double(-0),
  new Double(Number.NaN),
  'a text',
  { x: new Double(2), y: { z: [1, new Long(2), 'three'] } },
  [new Double(1), null, { a: [] }],
  new Binary(Buffer.from([1, 2, 3]), 5),
  objectId(77),
  true,
  new Date(-1),
  null,
  new BSONRegExp('^a.b', 'i'),
  new Code('return 1'),
  new Code('return n', { n: 1 }),
  new BSONSymbol('a symbol'),
  new Int32(-5),
  new Timestamp({ t: 1, i: 2 }),
  Long.fromString('9007199254740993'),
  Decimal128.fromString('1.10'),
  new MinKey(),
  new MaxKey(),
  new Binary(Buffer.alloc(0), 0),
  '',
  {},
];

const fieldOf = (document: object, placeholder: string, instead: Uint8Array): Buffer => {
  const [field] = fieldsOf(patched(document, placeholder, instead));
  if (!field) throw new Error('wanted a field');
  return field.value;
};

/** Values that JavaScript cannot carry: F44 and F45. */
const ODD: readonly Buffer[] = [
  fieldOf({ o: { name1: 1, name2: 2 } }, 'name2', Buffer.from('name1')),
  fieldOf({ o: { b: 1, '?': 2, a: 3 } }, '?', Buffer.from('7')),
  fieldOf({ o: { Xbsontype: 'Int32' } }, 'Xbsontype', Buffer.from('_bsontype')),
  // A null inside becomes a deprecated `undefined`.
  fieldOf({ o: { q: null } }, '\x0aq', Buffer.from('\x06q')),
];

export const oddValue = (n: number): Buffer => ODD[n % ODD.length] ?? Buffer.alloc(0);

/** Every how many documents with odd fields the field that a migration moves is odd, too, and a name is doubled. */
const ODD_A = 9;
const DOUBLED = 13;

function oddFields(n: number): Field[] {
  const doubled =
    n % DOUBLED === 5
      ? [
          { name: 'q', value: bsonValue(1) },
          { name: 'q', value: bsonValue(2) },
        ]
      : [];
  return [{ name: 'o', value: oddValue(n) }, { name: '12', value: bsonValue(n) }, ...doubled];
}

/** In MB, of one document. */
const LARGE = [1, 2, 5, 9, 15.5] as const;
const MEGABYTE = 1024 * 1024;

/** A different byte in each, since what is written is compared. */
const largeValue = (n: number): Binary => new Binary(Buffer.alloc((LARGE[n % LARGE.length] ?? 1) * MEGABYTE, n + 1), 0);

function valueOfA(n: number, fields: Schedule['collection']['fields']): Buffer {
  if (fields === 'odd' && n % ODD_A === 4) return oddValue(n + 1);
  return bsonValue(fields === 'every' ? EVERY[n % EVERY.length] : `a-${n}`);
}

/** Never shown by any command: I13. */
export const CANARY = 'CANARY-5d1f';

/** `bad`: 1 makes `up` throw, 2 breaks the validator once migrated, 3 shares its key with the neighbour. */
function badness(n: number, { collection, migration }: Schedule): number {
  if (migration.badPercent > 0 && n % Math.ceil(100 / migration.badPercent) === 3) return 1;
  if (collection.rule === 'validator' && n % 40 === 11) return 2;
  if (collection.rule === 'unique' && n % 60 < 2) return 3;
  return 0;
}

/** The n-th document of a schedule, in the shape from before the migration. */
export function documentOf(n: number, schedule: Schedule): Fields {
  const { collection } = schedule;
  const bad = badness(n, schedule);
  const plain = {
    n: new Int32(0),
    e: 'e0',
    drop: new Double(n),
    team: new Int32(n % 3),
    k: bad === 3 ? `k-${n - (n % 60)}` : `k-${n}`,
    secret: CANARY,
    ...(bad > 0 ? { bad: new Int32(bad) } : {}),
  };
  return [
    { name: '_id', value: bsonValue(idOfKind(collection.ids, n)) },
    { name: 'a', value: valueOfA(n, collection.fields) },
    ...(collection.fields === 'odd' ? oddFields(n) : []),
    ...fieldsOf(serialize(plain)),
    ...(collection.fields === 'large' ? [{ name: 'big', value: bsonValue(largeValue(n)) }] : []),
    ...(collection.fields === 'every' ? [{ name: 'x', value: bsonValue(EVERY[(n * 7 + 3) % EVERY.length]) }] : []),
  ];
}

export const initialDocuments = (schedule: Schedule): Buffer[] =>
  Array.from({ length: schedule.collection.docs }, (_, n) => bytesOf(documentOf(n, schedule)));

/** Whether a document holds what JavaScript cannot carry: in the field that the migration moves; doubled at the top. */
export function oddityOf(fields: Fields): {
  readonly isOddA: boolean;
  readonly isDoubled: boolean;
  readonly has: boolean;
} {
  const isOdd = (value: Buffer | undefined): boolean => value !== undefined && ODD.some((odd) => odd.equals(value));
  return {
    isOddA: fields.some(({ name, value }) => name === 'a' && isOdd(value)),
    isDoubled: fields.filter(({ name }) => name === 'q').length > 1,
    has: fields.some(({ name }) => name === 'o'),
  };
}
