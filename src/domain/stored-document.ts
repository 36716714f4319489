/** A document as it is stored: its bytes, its `_id`, and its top-level fields when they are asked for. */
import { assemble, BSON_TYPE, idField, idKey, type RawField, scanFields } from '../kernel/raw-bson.js';
import { type Doc, objectIdFrom, toBytes, toTyped } from '../kernel/values.js';

/** A document as it was read: its bytes, and what is known of them. */
export interface StoredDocument {
  readonly bytes: Buffer;
  readonly fields: readonly RawField[];
  /** Equal exactly when two `_id`s are byte-equal. */
  readonly key: string;
  /** It is stored nowhere yet: only its `_id` is known. */
  readonly isAbsent?: true;
}

/** Looked into when it is asked: of most documents that a run looks at, only the `_id` and the hash are wanted. */
class Stored implements StoredDocument {
  #fields: readonly RawField[] | undefined;
  readonly key: string;

  constructor(readonly bytes: Buffer) {
    this.key = idKey(bytes);
  }

  get fields(): readonly RawField[] {
    this.#fields ??= scanFields(this.bytes);
    return this.#fields;
  }
}

/** @throws RangeError when the bytes are no document, or one without `_id` */
export const storedDocument = (bytes: Buffer): StoredDocument => new Stored(bytes);

/** The place of a document that is not there: nothing but its `_id`. */
export function absentDocument(id: unknown): StoredDocument {
  const bytes = toBytes(new Map([['_id', id]]));
  return { bytes, fields: scanFields(bytes), key: idKey(bytes), isAbsent: true };
}

/** The element of the `_id` as a document of its own; an empty one where there is none. */
export function idDocument({ bytes }: StoredDocument): Buffer {
  const field = idField(bytes);
  return assemble(field ? [bytes.subarray(field.start, field.end)] : []);
}

/** The exact `_id`, typed, for statements and state documents. */
export function typedId(document: StoredDocument): unknown {
  const { bytes } = document;
  const field = idField(bytes);
  // What most `_id`s are: a fraction of the time.
  if (field?.type === BSON_TYPE.objectId) return objectIdFrom(bytes.subarray(field.valueStart, field.end));
  return toTyped(idDocument(document))['_id'];
}

/** The key of an `_id` by itself. */
export const keyOf = (id: unknown): string => idKey(toBytes(new Map([['_id', id]])));

export function slice(document: Pick<StoredDocument, 'bytes'>, field: RawField): Buffer {
  return document.bytes.subarray(field.start, field.end);
}

/** The document without a top-level field. */
export function withoutField(document: StoredDocument, name: string): StoredDocument {
  const kept = document.fields.filter((field) => field.name !== name);
  if (kept.length === document.fields.length) return document;
  return storedDocument(assemble(kept.map((field) => slice(document, field))));
}

/** The given fields as a document of exact values. */
export function typedFields(document: StoredDocument, fields: readonly RawField[]): Doc {
  return toTyped(assemble(fields.map((field) => slice(document, field))));
}
