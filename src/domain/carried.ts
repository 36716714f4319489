/** What JavaScript can carry exactly, and what it cannot: told from the bytes. */
import { isUtf8 } from 'node:buffer';
import { assemble, BSON_TYPE, type RawField, scanFields } from '../kernel/raw-bson.js';
import { toBytes, toTyped } from '../kernel/values.js';
import { type StoredDocument, slice } from './stored-document.js';

/** True when the whole document can go through JavaScript values and come out as the same bytes. */
export function isDocumentCarried({ bytes }: StoredDocument): boolean {
  try {
    return isPlainObject(bytes) || toBytes(toTyped(bytes)).equals(bytes);
  } catch {
    return false;
  }
}

/** What JavaScript shows for bytes that are no UTF-8. */
const REPLACEMENT = Buffer.from('\uFFFD');

/** A text that the document does not really hold: what JavaScript made of invalid UTF-8, copied into another field. */
export function mangled(document: StoredDocument, set: Buffer): string | undefined {
  const isCopied = set.includes(REPLACEMENT) && !document.bytes.includes(REPLACEMENT) && !isDocumentCarried(document);
  return isCopied ? 'a field would hold a text that was read from invalid UTF-8' : undefined;
}

/**
 * What makes the touched fields impossible to put back exactly through the driver; undefined when nothing does. Such a
 * field is never written over either: MongoDB 6.0.5 aborts (the whole server, by an invariant of its diffs) when a
 * pipeline update changes a nested object in which a name is doubled.
 */
export function oddity(document: StoredDocument, touched: readonly RawField[]): string | undefined {
  const names = new Set<string>();
  for (const { name } of document.fields) {
    if (names.has(name)) return `the field "${name}" occurs twice`;
    names.add(name);
  }
  for (const field of touched) if (!isCarried(document, field)) return notCarried(field);
  return undefined;
}

const notCarried = ({ name }: RawField): string =>
  `the field "${name}" holds BSON that JavaScript cannot carry exactly (invalid UTF-8, undefined, duplicate or reordered names)`;

/** A value that is to be moved or copied and would be another one afterwards. */
export class NotCarried extends Error {}

/**
 * @param name of the field that is moved or copied; undefined: the whole document
 * @throws NotCarried
 */
export function requireCarried(document: Pick<StoredDocument, 'bytes'>, name: string | undefined): void {
  for (const field of scanFields(document.bytes))
    if ((name === undefined || field.name === name) && !isCarried(document, field))
      throw new NotCarried(notCarried(field));
}

/** Types whose every value JavaScript holds. */
const ALWAYS_CARRIED: ReadonlySet<number> = new Set([
  BSON_TYPE.objectId,
  BSON_TYPE.null,
  BSON_TYPE.int32,
  BSON_TYPE.int64,
]);

/** The first and the last moment of a JavaScript date, in ms (ECMA-262, "Time Values"). */
const MAX_DATE_MS = 8_640_000_000_000_000n;

const isOrdinary = (name: string): boolean => /^[a-z]\w*$/i.test(name) || name === '_id';

/** True for what is plain to see: a value that has one form only. A quarter of the time of taking it there and back. */
function isPlainValue(bytes: Buffer, { type, valueStart, end }: RawField): boolean {
  if (ALWAYS_CARRIED.has(type)) return true;
  switch (type) {
    case BSON_TYPE.string:
      return bytes[end - 1] === 0 && isUtf8(bytes.subarray(valueStart + 4, end));
    case BSON_TYPE.boolean:
      return (bytes[valueStart] ?? 2) < 2;
    case BSON_TYPE.double:
      return !Number.isNaN(bytes.readDoubleLE(valueStart));
    case BSON_TYPE.date: {
      const ms = bytes.readBigInt64LE(valueStart);
      return ms <= MAX_DATE_MS && ms >= -MAX_DATE_MS;
    }
    case BSON_TYPE.object:
      return isPlainObject(bytes.subarray(valueStart, end));
    case BSON_TYPE.array:
      return isPlainArray(bytes.subarray(valueStart, end));
    default:
      return false;
  }
}

const isClosed = (bytes: Buffer): boolean => bytes.readInt32LE(0) === bytes.length && bytes.at(-1) === 0;

/** Ordinary names, each once, of plain values. */
function isPlainObject(bytes: Buffer): boolean {
  if (!isClosed(bytes)) return false;
  const names = new Set<string>();
  for (const field of scanFields(bytes)) {
    if (!isOrdinary(field.name) || names.has(field.name) || !isPlainValue(bytes, field)) return false;
    names.add(field.name);
  }
  return true;
}

const isPlainArray = (bytes: Buffer): boolean =>
  isClosed(bytes) &&
  scanFields(bytes).every((field, index) => field.name === String(index) && isPlainValue(bytes, field));

function isCarried(document: Pick<StoredDocument, 'bytes'>, field: RawField): boolean {
  try {
    if (isOrdinary(field.name) && isPlainValue(document.bytes, field)) return true;
    const bytes = assemble([slice(document, field)]);
    return toBytes(new Map([[field.name, toTyped(bytes)[field.name]]])).equals(bytes);
  } catch {
    // Whatever the reason that it cannot be read or written (deep nesting, a field named _bsontype), it is not carried.
    return false;
  }
}
