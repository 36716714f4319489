/** What JavaScript can carry exactly, and what it cannot: told from the bytes. */
import { isUtf8 } from 'node:buffer';
import { assemble, BSON_TYPE, type RawField } from '../kernel/raw-bson.js';
import { toBytes, toTyped } from '../kernel/values.js';
import { type StoredDocument, slice } from './stored-document.js';

/** True when the whole document can go through JavaScript values and come out as the same bytes. */
export function isDocumentCarried(document: StoredDocument): boolean {
  try {
    return toBytes(toTyped(document.bytes)).equals(document.bytes);
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

export function requireCarried(document: StoredDocument, field: RawField): void {
  if (!isCarried(document, field)) throw new NotCarried(notCarried(field));
}

/** Types whose every value JavaScript holds; of text only what is UTF-8. */
const ALWAYS_CARRIED: ReadonlySet<number> = new Set([
  BSON_TYPE.objectId,
  BSON_TYPE.null,
  BSON_TYPE.int32,
  BSON_TYPE.int64,
]);

/** True for what is plain to see: an ordinary name, and a value that has one form only. */
function isPlainlyCarried(document: StoredDocument, field: RawField): boolean {
  if (!/^[a-z]\w*$/i.test(field.name)) return false;
  if (ALWAYS_CARRIED.has(field.type)) return true;
  if (field.type !== BSON_TYPE.string) return false;
  return isUtf8(document.bytes.subarray(field.valueStart + 4, field.end));
}

function isCarried(document: StoredDocument, field: RawField): boolean {
  if (isPlainlyCarried(document, field)) return true;
  const bytes = assemble([slice(document, field)]);
  try {
    return toBytes(new Map([[field.name, toTyped(bytes)[field.name]]])).equals(bytes);
  } catch {
    // Whatever the reason that it cannot be read or written (deep nesting, a field named _bsontype), it is not carried.
    return false;
  }
}
