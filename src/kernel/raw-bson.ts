/**
 * BSON as bytes: where the top-level fields of a document lie, and a new document spliced from slices.
 *
 * What the transform did not change never passes through JavaScript values, so it survives whatever it holds: types,
 * odd names, malformed strings. Layout from the BSON specification 1.1 (bsonspec.org).
 */
import { hash } from 'node:crypto';

/** One top-level field: `start`..`end` is the whole element (type byte, name, value) inside the document's bytes. */
export interface RawField {
  readonly name: string;
  readonly type: number;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

export const BSON_TYPE = {
  double: 0x01,
  string: 0x02,
  object: 0x03,
  array: 0x04,
  binary: 0x05,
  undefined: 0x06,
  objectId: 0x07,
  boolean: 0x08,
  date: 0x09,
  null: 0x0a,
  regex: 0x0b,
  dbPointer: 0x0c,
  code: 0x0d,
  symbol: 0x0e,
  codeWithScope: 0x0f,
  int32: 0x10,
  timestamp: 0x11,
  int64: 0x12,
  decimal128: 0x13,
  minKey: 0xff,
  maxKey: 0x7f,
} as const;

/** Largest document that the server stores, in bytes. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

const FIXED_VALUE_BYTES: Readonly<Record<number, number>> = {
  [BSON_TYPE.double]: 8,
  [BSON_TYPE.undefined]: 0,
  [BSON_TYPE.objectId]: 12,
  [BSON_TYPE.boolean]: 1,
  [BSON_TYPE.date]: 8,
  [BSON_TYPE.null]: 0,
  [BSON_TYPE.int32]: 4,
  [BSON_TYPE.timestamp]: 8,
  [BSON_TYPE.int64]: 8,
  [BSON_TYPE.decimal128]: 16,
  [BSON_TYPE.minKey]: 0,
  [BSON_TYPE.maxKey]: 0,
};

function endOfCString(bytes: Buffer, from: number): number {
  const end = bytes.indexOf(0, from);
  if (end < 0) throw new RangeError('malformed BSON: a name without an end');
  return end + 1;
}

function endOfValue(bytes: Buffer, type: number, start: number): number {
  const fixed = FIXED_VALUE_BYTES[type];
  if (fixed !== undefined) return start + fixed;
  switch (type) {
    case BSON_TYPE.string:
    case BSON_TYPE.code:
    case BSON_TYPE.symbol:
      return start + 4 + bytes.readInt32LE(start);
    case BSON_TYPE.object:
    case BSON_TYPE.array:
    case BSON_TYPE.codeWithScope:
      return start + bytes.readInt32LE(start);
    case BSON_TYPE.binary:
      return start + 5 + bytes.readInt32LE(start);
    case BSON_TYPE.dbPointer:
      return start + 4 + bytes.readInt32LE(start) + 12;
    case BSON_TYPE.regex:
      return endOfCString(bytes, endOfCString(bytes, start));
    default:
      throw new RangeError(`malformed BSON: unknown type 0x${type.toString(16)}`);
  }
}

/** The top-level fields of one BSON document, in their order. Throws RangeError when the bytes are no BSON. */
export function scanFields(bytes: Buffer): RawField[] {
  const fields: RawField[] = [];
  const last = bytes.length - 1;
  let at = 4;
  while (at < last) {
    const type = bytes[at] ?? 0;
    const valueStart = endOfCString(bytes, at + 1);
    const end = endOfValue(bytes, type, valueStart);
    if (end > last || end < valueStart) throw new RangeError('malformed BSON: a value beyond the ends of its document');
    fields.push({ name: bytes.toString('utf8', at + 1, valueStart - 1), type, start: at, valueStart, end });
    at = end;
  }
  return fields;
}

/** A whole document around the given elements (slices of other documents), in their order. */
export function assemble(elements: readonly Uint8Array[]): Buffer {
  let length = 5;
  for (const element of elements) length += element.length;
  const document = Buffer.allocUnsafe(length);
  document.writeInt32LE(length, 0);
  let at = 4;
  for (const element of elements) {
    document.set(element, at);
    at += element.length;
  }
  document[at] = 0;
  return document;
}

/** The documents that lie one after the other in `bytes` (BSON is self-delimiting). */
export function splitDocuments(bytes: Buffer): Buffer[] {
  const documents: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = bytes.readInt32LE(at);
    if (length < 5 || at + length > bytes.length) throw new RangeError('malformed BSON: a document beyond its buffer');
    documents.push(bytes.subarray(at, at + length));
    at += length;
  }
  return documents;
}

/** SHA-256 of the bytes: 32 bytes. In one call: a third faster than createHash. */
export const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');

/** Where the value of an `_id` begins that stands first, as it does in every stored document. */
const FIRST_ID_VALUE = 9;

const isIdFirst = (bytes: Buffer): boolean =>
  bytes.length > FIRST_ID_VALUE && bytes.readUInt32BE(FIRST_ID_VALUE - 4) === 0x5f696400; // "_id" and its end

const keyAt = (bytes: Buffer, type: number, start: number, end: number): string =>
  `${type.toString(16)}:${bytes.toString('hex', start, end)}`;

/** The bytes of the `_id` element's value with its type byte in front, in hex: equal exactly when the `_id`s are. */
export function idKey(bytes: Buffer): string {
  if (isIdFirst(bytes)) {
    const type = bytes[4] ?? 0;
    const end = endOfValue(bytes, type, FIRST_ID_VALUE);
    if (end < bytes.length) return keyAt(bytes, type, FIRST_ID_VALUE, end);
  }
  const id = findField(bytes, '_id');
  if (!id) throw new RangeError('a document without _id');
  return keyAt(bytes, id.type, id.valueStart, id.end);
}

/** The first top-level field of this name. */
export function findField(bytes: Buffer, name: string): RawField | undefined {
  return scanFields(bytes).find((field) => field.name === name);
}
