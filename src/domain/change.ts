/**
 * One document before and after: which top-level fields differ, and the exact bytes that will be stored.
 *
 * The comparison is on the raw slices. A field that the transform returned as it was given is copied as bytes; only
 * new and changed fields are serialised. Existing fields keep their place, new ones follow in the transform's order.
 */

import type { ErrorCode } from '../errors.js';
import { elementsOf, MAX_DOCUMENT_BYTES, type RawField, sha256 } from '../kernel/raw-bson.js';
import { type Doc, isPlainObject, TooLargeForBson, toBytes, toPlain, toTyped } from '../kernel/values.js';
import { mangled, NotCarried, oddity } from './carried.js';
import { isReject, isSkip } from './migration.js';
import { Given, type GivenIndex, Origins } from './origins.js';
import { type ChangeKind, encodePatch } from './patch.js';
import { requireName, retype, UnstorableValue } from './retype.js';
import { Splice } from './splice.js';
import { absentDocument, type StoredDocument, slice, typedFields } from './stored-document.js';

/** A document that will be written. */
export interface Change {
  readonly before: StoredDocument;
  readonly after: Buffer;
  /** SHA-256 of `after`. */
  readonly hash: Buffer;
  /** New values of changed and added top-level fields, typed, in the order they will have. */
  readonly set: ReadonlyMap<string, unknown>;
  /** Names of removed top-level fields. */
  readonly unset: readonly string[];
  /** `set` and `unset` as the audit keeps them. */
  readonly patch: Buffer;
  /** Left out: an update. Inserted: `before` is absent. Deleted: `after` is empty. */
  readonly kind?: Exclude<ChangeKind, 'update'>;
}

/** Why a document was not migrated. `message` names fields and types, never values. */
export interface DocumentFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** File position in the author's source, if the failure has one. */
  readonly at?: string;
  /** The document that has the key already, for a unique index, where it can be told. */
  readonly other?: { readonly id: unknown };
}

/** What is to be done with one document. */
export type Decision =
  | { readonly kind: 'changed'; readonly change: Change }
  | { readonly kind: 'unchanged'; readonly document: StoredDocument }
  | { readonly kind: 'skipped'; readonly document: StoredDocument }
  | { readonly kind: 'failed'; readonly document: StoredDocument; readonly failure: DocumentFailure };

/** A document that is not migrated. */
export const fail = (document: StoredDocument, code: ErrorCode, message: string): Decision => ({
  kind: 'failed',
  document,
  failure: { code, message },
});

/** A document that the server would not store. @param bytes where they are known */
export const tooLarge = (document: StoredDocument, bytes?: number): Decision =>
  fail(
    document,
    'GODWIT_TOO_LARGE',
    `wanted at most ${MAX_DOCUMENT_BYTES} bytes, found ${bytes ?? 'more'}${document.isAbsent ? '' : ` (before: ${document.bytes.length})`}`,
  );

function describeReturn(output: unknown): string {
  if (output === undefined) return 'nothing';
  if (output === null) return 'null';
  if (Array.isArray(output)) return 'an array';
  return typeof output === 'object' ? `an instance of ${output.constructor?.name}` : `a ${typeof output}`;
}

const rejection = (reason: unknown): string =>
  typeof reason === 'string' && reason !== '' ? `up() rejected it: ${reason}` : 'up() rejected it, without a reason';

function isThenable(output: unknown): output is PromiseLike<unknown> {
  return typeof output === 'object' && output !== null && 'then' in output && typeof output.then === 'function';
}

/**
 * Decides what `output`, returned by the transform for `document`, means.
 *
 * @param plain the very object that the transform was given (fields are compared by identity first)
 * @param others what else it was given
 */
export function decide(document: StoredDocument, plain: Doc, output: unknown, others?: GivenIndex): Decision {
  if (isSkip(output)) return { kind: 'skipped', document };
  if (isReject(output)) return fail(document, 'GODWIT_REJECTED', rejection(output.reason));
  if (isThenable(output)) {
    // Nobody waits for it: a rejection of its own would end the process.
    output.then(undefined, () => undefined);
    return fail(document, 'GODWIT_TRANSFORM_ASYNC', 'wanted a document from up(), found a promise');
  }
  if (!isPlainObject(output))
    return fail(document, 'GODWIT_TRANSFORM_RETURN', `wanted a document from up(), found ${describeReturn(output)}`);
  try {
    return compare(document, plain, output, others);
  } catch (error) {
    if (error instanceof NotCarried) return fail(document, 'GODWIT_NOT_CARRIED', error.message);
    if (error instanceof UnstorableValue) return fail(document, 'GODWIT_TRANSFORM_VALUE', error.message);
    if (error instanceof TooLargeForBson) return tooLarge(document);
    // BSON that cannot be written is this document's; anything else came out of the author's object (a getter).
    if (error instanceof Error && !error.name.startsWith('BSON')) throw error;
    const found = error instanceof Error ? error.name : 'an error';
    return fail(document, 'GODWIT_TRANSFORM_VALUE', `wanted a document that BSON can hold from up(), found ${found}`);
  }
}

/** The stored value at a field, exactly, where the new one may be the same or hold parts of it. */
function typedBefore(document: StoredDocument, name: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object') return undefined;
  const field = document.fields.find((one) => one.name === name);
  return field && typedFields(document, [field])[name];
}

/**
 * Values to store by name, for every field that is not the very value that was given.
 *
 * @throws NotCarried, UnstorableValue
 */
export function candidates(
  document: StoredDocument,
  plain: Doc,
  output: Doc,
  others?: GivenIndex,
): Map<string, unknown> {
  const origins = new Origins([new Given(plain, document.bytes)], output, others);
  // Another document that was given, as the result.
  const whole = output === plain ? undefined : (origins.exactOf(output) as Doc | undefined);
  const values = new Map<string, unknown>();
  for (const name of Object.keys(output)) {
    requireName(name, []);
    const value = output[name];
    const isStored = Object.hasOwn(plain, name);
    if (value === undefined || (isStored && Object.is(value, plain[name]))) continue;
    const before = isStored ? plain[name] : undefined;
    const next = whole ? whole[name] : retype(value, before, typedBefore(document, name, value), origins, [name]);
    if (next !== undefined) values.set(name, next);
  }
  return values;
}

const NOTHING = Buffer.alloc(0);

function compare(document: StoredDocument, plain: Doc, output: Doc, others?: GivenIndex): Decision {
  const values = candidates(document, plain, output, others);
  const bytes = values.size > 0 ? toBytes(values) : NOTHING;
  const elements = elementsOf(bytes);
  const isKeptAsIs = (name: string): boolean => Object.hasOwn(output, name) && Object.is(output[name], plain[name]);

  const after = new Splice(document);
  const touched: RawField[] = [];
  const changed: Buffer[] = [];
  const unset: string[] = [];
  for (const field of document.fields) {
    const { name } = field;
    if (isKeptAsIs(name)) {
      after.keep(field);
      continue;
    }
    const next = elements.get(name);
    if (!next) {
      touched.push(field);
      unset.push(name);
      continue;
    }
    elements.delete(name);
    if (next.equals(slice(document, field))) {
      values.delete(name);
      after.keep(field);
    } else {
      touched.push(field);
      changed.push(next);
      after.put(next);
    }
  }
  for (const element of elements.values()) {
    after.put(element);
    changed.push(element);
  }

  if (values.size === 0 && unset.length === 0) return { kind: 'unchanged', document };
  if (touched.some((field) => field.name === '_id'))
    return fail(
      document,
      'GODWIT_TRANSFORM_ID',
      `wanted the same _id from up(), found ${values.has('_id') ? 'another' : 'none'}`,
    );
  const odd = oddity(document, touched) ?? mangled(document, bytes);
  if (odd) return fail(document, 'GODWIT_NOT_CARRIED', odd);
  const made = after.bytes();
  if (made.length > MAX_DOCUMENT_BYTES) return tooLarge(document, made.length);
  return {
    kind: 'changed',
    change: {
      before: document,
      after: made,
      hash: sha256(made),
      set: values,
      unset,
      patch: encodePatch(changed, unset),
    },
  };
}

/** A document with the given fields set and removed, as the server will make it. */
export function withFields(
  document: StoredDocument,
  set: ReadonlyMap<string, unknown>,
  unset: readonly string[],
): { readonly after: Buffer; readonly changed: readonly Buffer[] } {
  const elements = elementsOf(set.size > 0 ? toBytes(new Map(set)) : NOTHING);
  const changed = [...elements.values()];
  const removed = new Set(unset);
  const splice = new Splice(document);
  for (const field of document.fields) {
    if (removed.has(field.name)) continue;
    const next = elements.get(field.name);
    if (next) splice.put(next);
    else splice.keep(field);
    elements.delete(field.name);
  }
  for (const element of elements.values()) splice.put(element);
  return { after: splice.bytes(), changed };
}

/** The change that sets and removes the given fields of a document: its exact bytes, as the server will make them. */
export function changeOf(
  document: StoredDocument,
  set: ReadonlyMap<string, unknown>,
  unset: readonly string[],
): Change {
  const { after, changed } = withFields(document, set, unset);
  const change = { before: document, after, hash: sha256(after), set, unset };
  return document.isAbsent
    ? { ...change, patch: encodePatch(changed, unset, 'insert'), kind: 'insert' }
    : { ...change, patch: encodePatch(changed, unset) };
}

/** The change that makes a document that is not there: its exact bytes. It must be one that JavaScript carries. */
export function insertionOf(document: StoredDocument): Change {
  const { _id, ...fields } = toTyped(document.bytes);
  const order = document.fields.flatMap(({ name }) => (name === '_id' ? [] : [name]));
  return changeOf(absentDocument(_id), new Map(order.map((name) => [name, fields[name]])), []);
}

/** The change that takes a document away. */
export const removalOf = (document: StoredDocument): Change => ({
  ...{ before: document, after: NOTHING, hash: sha256(NOTHING), set: new Map(), unset: [] },
  patch: encodePatch([], [], 'delete'),
  kind: 'delete',
});

/** What differs between a document and what became of it, by its bytes. */
export function fieldChanges(
  document: StoredDocument,
  result: StoredDocument,
): {
  /** Of the document: those that are others by now, or gone. */
  readonly touched: readonly RawField[];
  /** Of the result: those that were others before, or not there. */
  readonly changed: readonly RawField[];
  readonly unset: readonly string[];
} {
  const now = new Map(result.fields.map((field) => [field.name, field]));
  const kept = new Set<string>();
  const touched: RawField[] = [];
  const unset: string[] = [];
  for (const field of document.fields) {
    const next = now.get(field.name);
    if (next && slice(result, next).equals(slice(document, field))) kept.add(field.name);
    else touched.push(field);
    if (!next) unset.push(field.name);
  }
  return { touched, changed: result.fields.filter(({ name }) => !kept.has(name)), unset };
}

/** The document that the transform sees. */
export const plainOf = (document: StoredDocument): Doc => toPlain(document.bytes);
