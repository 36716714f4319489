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

interface MetName {
  /** With the zero at its end. */
  readonly bytes: Uint8Array;
  readonly name: string;
}

/** Names by their place in the documents that were scanned last: those of a collection mostly have the same ones. */
const met: MetName[][] = [];
/** Places, and bytes of a name, that are kept at most. */
const MAX_MET = 256;
/** Names of one place: documents that are read, parts of them and what is made of them take turns. */
const MAX_TURNS = 4;

function standsAt(bytes: Buffer, from: number, wanted: Uint8Array): boolean {
  for (let at = 0; at < wanted.length; at += 1) if (bytes[from + at] !== wanted[at]) return false;
  return true;
}

/** The name that begins at `from`, as it was met at this place or from the bytes. */
function nameAt(bytes: Buffer, from: number, place: number): MetName {
  const known = met[place];
  if (known) for (const one of known) if (standsAt(bytes, from, one.bytes)) return one;
  const end = endOfCString(bytes, from);
  const found = { bytes: Uint8Array.from(bytes.subarray(from, end)), name: bytes.toString('utf8', from, end - 1) };
  if (place < MAX_MET && end - from <= MAX_MET) met[place] = [found, ...(known ?? []).slice(0, MAX_TURNS - 1)];
  return found;
}

/** The top-level fields of one BSON document, in their order. Throws RangeError when the bytes are no BSON. */
export function scanFields(bytes: Buffer): RawField[] {
  const fields: RawField[] = [];
  const last = bytes.length - 1;
  let at = 4;
  while (at < last) {
    const type = bytes[at] ?? 0;
    const found = nameAt(bytes, at + 1, fields.length);
    const valueStart = at + 1 + found.bytes.length;
    const end = endOfValue(bytes, type, valueStart);
    if (end > last || end < valueStart) throw new RangeError('malformed BSON: a value beyond the ends of its document');
    fields.push({ name: found.name, type, start: at, valueStart, end });
    at = end;
  }
  return fields;
}

/** The elements of a document by their names, in their order; of a name that occurs twice, the last. */
export const elementsOf = (bytes: Buffer): Map<string, Buffer> =>
  new Map(scanFields(bytes).map(({ name, start, end }) => [name, bytes.subarray(start, end)]));

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

/** The element of the `_id`, without a look at other fields where it stands first. */
export function idField(bytes: Buffer): RawField | undefined {
  const type = bytes[4] ?? 0;
  const end = isIdFirst(bytes) ? endOfValue(bytes, type, FIRST_ID_VALUE) : bytes.length;
  return end < bytes.length
    ? { name: '_id', type, start: 4, valueStart: FIRST_ID_VALUE, end }
    : findField(bytes, '_id');
}

/** The bytes of the `_id` element's value with its type byte in front, in hex: equal exactly when the `_id`s are. */
export function idKey(bytes: Buffer): string {
  const id = idField(bytes);
  if (!id) throw new RangeError('a document without _id');
  return `${id.type.toString(16)}:${bytes.toString('hex', id.valueStart, id.end)}`;
}

/** The first top-level field of this name. */
export function findField(bytes: Buffer, name: string): RawField | undefined {
  return scanFields(bytes).find((field) => field.name === name);
}
