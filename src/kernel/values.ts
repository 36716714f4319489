/**
 * BSON values between bytes and JavaScript, in two forms: *plain* is what a transform sees, *typed* carries every BSON
 * type exactly. Values of any copy of `bson` (Mongoose brings its own) are taken by their `_bsontype`.
 */
import * as BSON from 'bson';

export type Plain = unknown;
export type Typed = unknown;
export type Doc = Record<string, unknown>;

/** What a transform sees: numbers, strings, dates as JavaScript has them; the rest as BSON classes. */
const PLAIN: BSON.DeserializeOptions = {
  promoteValues: true,
  promoteLongs: true,
  promoteBuffers: false,
  bsonRegExp: true,
  validation: { utf8: false },
};

/** Exact: int32, double, long and symbol keep their class. */
const TYPED: BSON.DeserializeOptions = { ...PLAIN, promoteValues: false, promoteLongs: false };

export function toPlain(bytes: Uint8Array): Doc {
  return BSON.deserialize(bytes, PLAIN);
}

export function toTyped(bytes: Uint8Array): Doc {
  return BSON.deserialize(bytes, TYPED);
}

/** @param bytes the 12 of its value, which are copied */
export const objectIdFrom = (bytes: Uint8Array): BSON.ObjectId => new BSON.ObjectId(Uint8Array.from(bytes));

/** Thrown for a document that does not fit what `bson` writes into (17 MiB), and so no server. */
export class TooLargeForBson extends Error {}

/**
 * BSON bytes of a document (an object, or a Map where the order of integer-like names matters).
 *
 * @throws TooLargeForBson where `bson` would say that an offset is out of range, or write only a part
 */
export function toBytes(document: Doc | Map<string, unknown>): Buffer {
  let bytes: Uint8Array;
  try {
    bytes = BSON.serialize(document as BSON.Document, { ignoreUndefined: true });
  } catch (error) {
    if (error instanceof RangeError && /out of range|out of bounds|outside/i.test(error.message))
      throw new TooLargeForBson();
    throw error;
  }
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (whole.readInt32LE(0) !== whole.length) throw new TooLargeForBson();
  return whole;
}

/** Extended JSON v2, canonical (every type is kept): for files and for `--json`. */
export function toExtendedJson(value: unknown): unknown {
  return BSON.EJSON.serialize(value as BSON.Document, { relaxed: false });
}

export function bsonType(value: unknown): string | undefined {
  if (value === null || typeof value !== 'object') return undefined;
  const type: unknown = (value as { _bsontype?: unknown })._bsontype;
  return typeof type === 'string' ? type : undefined;
}

type ForeignValue = {
  id: Uint8Array;
  buffer: Uint8Array;
  sub_type: number;
  position: number;
  bytes: Uint8Array;
  low: number;
  high: number;
  unsigned: boolean;
  value: number | string;
  pattern: string;
  options: string;
  code: string;
  scope: BSON.Document | null;
  collection: string;
  oid: unknown;
  db: string;
  fields: BSON.Document;
};

/** What is to become of a value inside a value. */
type Inner = (value: unknown) => unknown;

const REWRAP: Readonly<Record<string, (value: ForeignValue, inner: Inner) => unknown>> = {
  ObjectId: (value) => objectIdFrom(value.id),
  ObjectID: (value) => objectIdFrom(value.id),
  Binary: (value) => new BSON.Binary(Uint8Array.from(value.buffer.subarray(0, value.position)), value.sub_type),
  UUID: (value) => new BSON.Binary(Uint8Array.from(value.buffer), 4),
  Decimal128: (value) => new BSON.Decimal128(Uint8Array.from(value.bytes)),
  Long: (value) => new BSON.Long(value.low, value.high, value.unsigned),
  Timestamp: (value) => new BSON.Timestamp({ t: value.high >>> 0, i: value.low >>> 0 }),
  Double: (value) => new BSON.Double(Number(value.value)),
  Int32: (value) => new BSON.Int32(Number(value.value)),
  BSONRegExp: (value) => new BSON.BSONRegExp(value.pattern, value.options),
  BSONSymbol: (value) => new BSON.BSONSymbol(String(value.value)),
  Symbol: (value) => new BSON.BSONSymbol(String(value.value)),
  Code: (value, inner) => new BSON.Code(value.code, value.scope && (inner(value.scope) as BSON.Document)),
  DBRef: (value, inner) =>
    new BSON.DBRef(value.collection, inner(value.oid) as BSON.ObjectId, value.db, inner(value.fields) as BSON.Document),
  MinKey: () => new BSON.MinKey(),
  MaxKey: () => new BSON.MaxKey(),
};

/** Without Code and DBRef, which hold values of their own. */
const OWN_CLASSES = [
  BSON.ObjectId,
  BSON.Binary,
  BSON.Decimal128,
  BSON.Long,
  BSON.Timestamp,
  BSON.Double,
  BSON.Int32,
  BSON.BSONRegExp,
  BSON.BSONSymbol,
  BSON.MinKey,
  BSON.MaxKey,
];

/**
 * The same BSON value as an instance of this package's `bson`: as it is when it is one already, rebuilt by its
 * `_bsontype` when another copy made it. `undefined` when no BSON class has that name.
 *
 * @param inner called for the scope of a Code, the id and the fields of a DBRef
 */
export function rewrap(value: object, inner: (value: unknown) => unknown): unknown {
  if (OWN_CLASSES.some((own) => value instanceof own)) return value;
  const make = REWRAP[bsonType(value) ?? ''];
  return make ? make(value as ForeignValue, inner) : undefined;
}

/** True for an object whose keys are its content: no class but Object, no array, no BSON value. */
export function isPlainObject(value: unknown): value is Doc {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

/** The BSON type's name in the words of the BSON specification, for a typed or plain value; `absent` for undefined. */
export function typeName(value: unknown): string {
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'date';
  if (value instanceof RegExp) return 'regex';
  if (value instanceof Uint8Array) return 'binary';
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int64';
    case 'number':
      return Number.isInteger(value) && Math.abs(value) < 2 ** 31 && !Object.is(value, -0) ? 'int32' : 'double';
    default:
      return TYPE_NAMES[bsonType(value) ?? ''] ?? 'object';
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  ObjectId: 'objectId',
  Binary: 'binary',
  Decimal128: 'decimal128',
  Long: 'int64',
  Timestamp: 'timestamp',
  Double: 'double',
  Int32: 'int32',
  BSONRegExp: 'regex',
  BSONSymbol: 'symbol',
  Code: 'javascript',
  // Stored as an object; told as what it is.
  DBRef: 'dbRef',
  MinKey: 'minKey',
  MaxKey: 'maxKey',
};

function refuseToSet(): never {
  throw new TypeError('Cannot assign to read only property: a date of the document; copy it first, new Date(date)');
}

/** `Object.freeze` does not hold a date's setters: those of a frozen one throw, as an assignment to a frozen object does. */
const FROZEN_DATE: object = Object.create(
  Date.prototype,
  Object.fromEntries(
    Object.getOwnPropertyNames(Date.prototype)
      .filter((name) => name.startsWith('set'))
      .map((name) => [name, { value: refuseToSet }]),
  ),
) as object;

/** Freezes a plain value all the way down, dates and what BSON classes hold included (others hold bytes). */
export function deepFreeze<T>(value: T): T {
  if (Array.isArray(value)) {
    for (const item of value) deepFreeze(item);
    return Object.freeze(value);
  }
  if (isPlainObject(value)) {
    for (const key of Object.keys(value)) deepFreeze(value[key]);
    return Object.freeze(value) as T;
  }
  if (value instanceof Date) Object.setPrototypeOf(value, FROZEN_DATE);
  else if (value instanceof BSON.DBRef) deepFreeze(Object.freeze(value).fields);
  else if (value instanceof BSON.Code) deepFreeze(Object.freeze(value).scope);
  return value;
}
