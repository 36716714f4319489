/** Runs the author's `up` over the documents of a batch. Outside any lock: between the read and the first write. */
import type { Document } from 'mongodb';
import { type Decision, type DocumentFailure, decide, plainOf } from '../domain/change.js';
import { keep, reject, skip, type TransformContext, type TransformFunction } from '../domain/migration.js';
import type { GivenIndex } from '../domain/origins.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { shapeOf } from '../kernel/redact.js';
import { bsonType, type Doc, deepFreeze } from '../kernel/values.js';
import { givenBy, type Lookups } from '../mongo/lookups.js';
import { eachGuarded } from './guarded.js';

/** Where a stack trace leaves Godwit and is in the author's file: `file:line:column`, or undefined. */
export type Locate = (error: Error) => string | undefined;

export interface Transformer {
  readonly fn: TransformFunction;
  readonly locate: Locate;
  /** Longest time of one call, in ms. */
  readonly timeoutMs: number;
}

/** Shortest text of a document that is looked for in an error's message, in characters. */
const MIN_SECRET = 3;
/** Longest message that is kept, in characters. */
const MAX_MESSAGE = 500;

/** Shortest part of a value that is looked for, in characters. */
const MIN_PART = 4;
/** Texts of more parts are prose: their words are those of any message. */
const MAX_PARTS = 6;

/** The names in an address, the parts of a name or a number: authors quote these, too. */
function partsOf(text: string): readonly string[] {
  const parts = text.split(/[^\p{L}\p{N}]+/u).filter((part) => part !== '');
  return parts.length > MAX_PARTS ? [] : parts.filter(({ length }) => length >= MIN_PART);
}

function leafTexts(value: unknown, into: Set<string>): void {
  if (typeof value === 'string') for (const text of [value.trim(), ...partsOf(value)]) into.add(text);
  else if (typeof value === 'number' || typeof value === 'bigint')
    for (const text of [String(value), ...partsOf(String(value))]) into.add(text);
  else if (Array.isArray(value)) for (const item of value) leafTexts(item, into);
  else if (value instanceof Date) into.add(String(value)).add(String(value.toJSON()));
  else if (value !== null && typeof value === 'object' && !(value instanceof Uint8Array)) {
    if (bsonType(value) !== undefined) into.add(String(value));
    for (const item of Object.values(value)) leafTexts(item, into);
  }
}

/** The text with every occurrence of `secret` replaced by its shape, whatever the case. */
function maskOne(text: string, secret: string): string {
  const [lower, wanted] = [text.toLowerCase(), secret.toLowerCase()];
  let masked = '';
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    masked += text.slice(from, at) + shapeOf(text.slice(at, at + wanted.length));
    from = at + wanted.length;
  }
  return masked + text.slice(from);
}

/** The message with every value of the document in it replaced by its shape: authors quote values in their errors. */
function withoutValues(message: string, document: Doc): string {
  const texts = new Set<string>();
  leafTexts(document, texts);
  const names = new Set(Object.keys(document).map((name) => name.toLowerCase()));
  const secrets = [...texts].filter(({ length }) => length >= MIN_SECRET && length <= message.length);
  // Masked whole, then cut: a value of several lines, or one longer than a message may be, would be cut to what is
  // not looked for any more. Values also stand in messages as JSON.
  const masked = secrets
    .filter((text) => !names.has(text.toLowerCase()))
    .flatMap((text) => [...new Set([text, JSON.stringify(text).slice(1, -1)])])
    .sort((a, b) => b.length - a.length)
    .reduce(maskOne, message);
  return masked.split('\n')[0]?.slice(0, MAX_MESSAGE) ?? '';
}

/** A thrown value as an error, whatever it is: anything can be thrown. */
function asError(thrown: unknown): { readonly error: Error; readonly text: string } {
  const error = thrown instanceof Error ? thrown : new Error(describeThrown(thrown));
  return { error, text: typeof error.message === 'string' ? error.message : describeThrown(error.message) };
}

function describeThrown(thrown: unknown): string {
  if (thrown !== null && (typeof thrown === 'object' || typeof thrown === 'function'))
    return 'something that is no error';
  return String(thrown);
}

const MUTATION = /read only property|object is not extensible|Cannot delete property|Cannot define property/;

/** What was thrown by the author's function `what`, in words without the document's values. */
export function toFailure(thrown: unknown, document: Doc, locate: Locate, what = 'up()'): DocumentFailure {
  const { error, text } = asError(thrown);
  const at = locate(error);
  const isMutation = error instanceof TypeError && MUTATION.test(text);
  const message = withoutValues(isMutation ? text : `${error.name}: ${text}`, document);
  return {
    code: isMutation ? 'GODWIT_TRANSFORM_MUTATES' : 'GODWIT_TRANSFORM_THREW',
    message: isMutation
      ? `wanted ${what} to leave its input as it is, found: ${message}`
      : `wanted a document from ${what}, found ${message}`,
    ...(at === undefined ? {} : { at }),
  };
}

/** The document as `up` gets it, or why it cannot be read. */
export function readPlain(document: StoredDocument): Doc | DocumentFailure {
  try {
    return deepFreeze(plainOf(document));
  } catch (error) {
    const detail = error instanceof Error ? error.name : 'unknown';
    return { code: 'GODWIT_NOT_CARRIED', message: `the document holds BSON that the driver cannot read (${detail})` };
  }
}

export const isFailure = (value: Doc | DocumentFailure): value is DocumentFailure =>
  typeof value['code'] === 'string' && String(value['code']).startsWith('GODWIT_') && !('_id' in value);

function applyOne(
  document: StoredDocument,
  transformer: Transformer,
  context: TransformContext<Record<string, Document>>,
  lookedUp: GivenIndex,
): Decision {
  const plain = readPlain(document);
  if (isFailure(plain)) return { kind: 'failed', document, failure: plain };
  try {
    return masked(decide(document, plain, transformer.fn(plain, context), lookedUp), plain);
  } catch (error) {
    return { kind: 'failed', document, failure: toFailure(error, plain, transformer.locate) };
  }
}

/** The author's own words in a rejection may quote values too. */
function masked(decision: Decision, plain: Doc): Decision {
  if (decision.kind !== 'failed' || decision.failure.code !== 'GODWIT_REJECTED') return decision;
  const { failure } = decision;
  return { ...decision, failure: { ...failure, message: withoutValues(failure.message, plain) } };
}

/** One decision a document, in their order. */
export function applyTransform(
  documents: readonly StoredDocument[],
  transformer: Transformer,
  lookup: Lookups,
): Decision[] {
  const context: TransformContext<Record<string, Document>> = { lookup, keep, skip, reject };
  const lookedUp = givenBy(lookup);
  const one = (document: StoredDocument): Decision => applyOne(document, transformer, context, lookedUp);
  return eachGuarded(documents, one, transformer.timeoutMs, (document) => ({
    kind: 'failed',
    document,
    failure: tooLate('up()', transformer.timeoutMs),
  }));
}

/** One call took too long. @param what the author's function */
export const tooLate = (what: string, timeoutMs: number): DocumentFailure => ({
  code: 'GODWIT_TRANSFORM_TIMEOUT',
  message: `wanted ${what} to return within ${timeoutMs} ms, found that it did not`,
});
