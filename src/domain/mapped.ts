/** A source document in the canonical shape: what `map` returned for it, as the elements that will be stored. */
import { createHash } from 'node:crypto';
import type { ErrorCode } from '../errors.js';
import { assemble, elementsOf } from '../kernel/raw-bson.js';
import { type Doc, isPlainObject, TooLargeForBson, toBytes, toPlain } from '../kernel/values.js';
import { NotCarried, oddity } from './carried.js';
import { candidates, type DocumentFailure } from './change.js';
import type { IdentityRule } from './merge-step.js';
import { isReject, isSkip } from './migration.js';
import { UnstorableValue } from './retype.js';
import { type StoredDocument, slice } from './stored-document.js';

/** Top-level elements by their names, in their order. */
export type Elements = ReadonlyMap<string, Buffer>;

export type Mapped =
  | { readonly kind: 'mapped'; readonly elements: Elements }
  | { readonly kind: 'skipped' }
  | { readonly kind: 'failed'; readonly failure: DocumentFailure };

const failed = (code: ErrorCode, message: string): Mapped => ({ kind: 'failed', failure: { code, message } });

export const bytesOf = (elements: Elements): Buffer => assemble([...elements.values()]);

/** True when these are the elements that were merged last. */
export const isMergedAs = (elements: Elements, merged: Elements | null | undefined): boolean =>
  merged ? bytesOf(merged).equals(bytesOf(elements)) : false;

/**
 * Decides what `output`, returned by `map` for `document`, means. A field that was left at its path keeps its bytes.
 *
 * @param plain the very object that `map` was given
 */
export function mappedFrom(document: StoredDocument, plain: Doc, output: unknown): Mapped {
  if (isSkip(output)) return { kind: 'skipped' };
  if (isReject(output)) return failed('GODWIT_REJECTED', `map() rejected it: ${String(output.reason)}`);
  if (!isPlainObject(output)) return failed('GODWIT_TRANSFORM_RETURN', 'wanted a document from map(), found none');
  if (typeof output['then'] === 'function')
    return failed('GODWIT_TRANSFORM_ASYNC', 'wanted a document from map(), found a promise');
  try {
    return { kind: 'mapped', elements: shaped(document, plain, output) };
  } catch (error) {
    if (error instanceof NotCarried) return failed('GODWIT_NOT_CARRIED', error.message);
    if (error instanceof TooLargeForBson) return failed('GODWIT_TOO_LARGE', 'map() returned more than 16 MiB');
    if (error instanceof UnstorableValue) return failed('GODWIT_TRANSFORM_VALUE', error.message);
    if (error instanceof Error && !error.name.startsWith('BSON')) throw error;
    return failed('GODWIT_TRANSFORM_VALUE', 'wanted a document that BSON can hold from map()');
  }
}

/** @throws NotCarried, UnstorableValue */
function shaped(document: StoredDocument, plain: Doc, output: Doc): Elements {
  const values = candidates(document, plain, output);
  const made = values.size > 0 ? elementsOf(toBytes(values)) : new Map<string, Buffer>();
  const kept = document.fields.filter(
    ({ name }) => Object.hasOwn(output, name) && Object.is(output[name], plain[name]),
  );
  const odd = oddity(document, kept);
  if (odd) throw new NotCarried(odd);
  const stored = new Map(kept.map((field) => [field.name, slice(document, field)]));
  const elements = new Map<string, Buffer>();
  for (const name of Object.keys(output)) {
    const element = made.get(name) ?? stored.get(name);
    if (element && name !== '_id') elements.set(name, element);
  }
  return elements;
}

/** What has nothing in common with anything. */
const isNone = (value: unknown): boolean =>
  value === undefined || value === null || value === '' || Number.isNaN(value as number);

/** A text as a key: the state holds no addresses and no numbers. */
export const hiddenKey = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 24);

/**
 * The keys of a document by the rules, each hidden in a hash: the state holds no addresses and no numbers.
 *
 * @param id its `_id`, as JavaScript has it
 * @param textOf a text for a value, the same for values that the server calls equal
 * @throws whatever a rule throws
 */
export function identityKeys(
  identity: readonly IdentityRule[] | 'sameId',
  elements: Elements,
  id: unknown,
  textOf: (value: unknown) => string,
): string[] {
  if (identity === 'sameId') return [hiddenKey(`_id/${textOf(id)}`)];
  const plain = toPlain(bytesOf(elements));
  return identity.flatMap((rule, at) => {
    const value = rule(plain);
    return isNone(value) ? [] : [hiddenKey(`${at}/${textOf(value)}`)];
  });
}
