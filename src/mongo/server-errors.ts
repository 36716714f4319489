/**
 * What an error of the server or the driver means: one table of codes and labels, since the driver's labels are
 * missing in the very cases that matter (docs/guide/how-it-works.md). Nobody else looks at error codes or texts.
 */
import { Int32, MongoError, MongoServerError } from 'mongodb';
import type { DocumentFailure } from '../domain/change.js';
import { GodwitError, isGodwitError } from '../errors.js';
import { redactUris } from '../kernel/redact.js';

/** How a batch goes on after an error inside its transaction. */
export type BatchError =
  /** Another writer was there first: read again and redo, in smaller pieces when it repeats. */
  | 'conflict'
  /** The transaction is gone for a reason that will pass: election, interruption, network, DDL. */
  | 'interrupted'
  /** The transaction is too large for the server's cache: redo with half. */
  | 'too-big'
  /** One document is refused: find it. */
  | 'document'
  /** The collection is not the planned one. */
  | 'replaced'
  /** No way on. */
  | 'fatal';

const CONFLICT = new Set([112]);
const TOO_BIG = new Set([365, 388, 10334]);
/** An index cannot take a document as it would be: parallel arrays, a place that is none, an array to hash, a language. */
const INDEX = new Set([171, 16755, 16766, 17261, 17262]);
const DOCUMENT = new Set([11000, 11001, 121, 17419, 66, 52, 56, 57, ...INDEX]);
const REPLACED = new Set([361]);
/** 13 and 18 are answered in words, never retried. */
const DENIED = new Set([13, 18, 8000]);
const INTERRUPTED = new Set([
  6, 7, 24, 43, 50, 64, 89, 91, 134, 189, 217, 237, 246, 251, 262, 290, 11600, 11601, 11602, 10107, 13435, 13436, 9001,
  267,
]);
const NETWORK_NAMES = new Set([
  'MongoNetworkError',
  'MongoNetworkTimeoutError',
  'MongoServerSelectionError',
  'MongoPoolClearedError',
  'PoolClearedOnNetworkError',
  'MongoWaitQueueTimeoutError',
  'MongoExpiredSessionError',
]);

/** Where values are not promoted (the change stream), the code comes as an Int32. */
export function codeOf(error: unknown): number | undefined {
  if (!(error instanceof MongoError)) return undefined;
  const code: unknown = error.code;
  return typeof code === 'number' ? code : code instanceof Int32 ? code.valueOf() : undefined;
}

function hasLabel(error: unknown, label: string): boolean {
  return error instanceof MongoError && error.hasErrorLabel(label);
}

/** What to do with the batch whose transaction met this error. */
export function classifyBatchError(error: unknown): BatchError {
  const code = codeOf(error);
  if (code !== undefined) {
    if (DENIED.has(code)) return 'fatal';
    if (CONFLICT.has(code)) return 'conflict';
    if (TOO_BIG.has(code)) return 'too-big';
    if (DOCUMENT.has(code)) return 'document';
    if (REPLACED.has(code)) return 'replaced';
    if (INTERRUPTED.has(code)) return 'interrupted';
  }
  if (hasLabel(error, 'TransientTransactionError')) return 'interrupted';
  if (isNetworkError(error)) return 'interrupted';
  return 'fatal';
}

/** True when a commit has definitely not happened: the transaction was aborted before it. */
export function isCommitRefused(error: unknown): boolean {
  const code = codeOf(error);
  return code === 251 || code === 112 || (code === 246 && hasLabel(error, 'TransientTransactionError'));
}

const SOCKET_CODES = new Set([
  'EPIPE',
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/**
 * An error of the socket that the driver let through as it was: a large statement, while the server dies. Node itself
 * says EPIPE, without a system call, of a socket whose other side has ended.
 */
function isSocketError(error: unknown): boolean {
  const { code, syscall } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  return code === 'EPIPE' || (syscall !== undefined && SOCKET_CODES.has(String(code)));
}

export const isNetworkError = (error: unknown): boolean =>
  error instanceof MongoError ? NETWORK_NAMES.has(error.name) : isSocketError(error);

export const isDuplicateKey = (error: unknown): boolean => codeOf(error) === 11000;

const TOO_LARGE = new Set([10334, 17419]);

/**
 * What a pipeline that cannot be evaluated for some document has met, in the server's name for it and without values;
 * null for errors that say nothing of a document.
 */
export function pipelineRefusal(error: unknown): DocumentFailure | null {
  const code = codeOf(error);
  if (!(error instanceof MongoServerError) || code === undefined || DENIED.has(code)) return null;
  if (TOO_LARGE.has(code)) return { code: 'GODWIT_TOO_LARGE', message: 'the result would be larger than 16 MiB' };
  const kind = classifyBatchError(error);
  if (kind !== 'fatal' && kind !== 'document') return null;
  const { codeName } = error;
  return { code: 'GODWIT_PIPELINE', message: `the pipeline fails on it: ${codeName ?? 'the server says'} (${code})` };
}

/**
 * True when the server no longer knows the user of a connection: dropped, and perhaps made again (as measured on
 * MongoDB 6.0.5: 13, "requires authentication", on the connections from before, none on new ones).
 */
export function isLoggedOut(error: unknown): boolean {
  const cause = isGodwitError(error) ? error.cause : error;
  return codeOf(cause) === 13 && cause instanceof Error && /requires authentication/i.test(cause.message);
}

/** Name of the unique index in a duplicate-key error; the values in the message are never passed on. */
export function duplicateIndex(error: unknown): string {
  return error instanceof Error ? (/index: (\S+)/.exec(error.message)?.[1] ?? 'unknown') : 'unknown';
}

/** What a validator found wrong, as names of rules and fields, without values. */
export function validationReason(error: unknown): string {
  const details: unknown = error instanceof MongoServerError ? error.errInfo?.['details'] : undefined;
  const rules = new Set<string>();
  collectRules(details, rules);
  return rules.size === 0 ? "the collection's validator refuses it" : `the validator refuses ${[...rules].join(', ')}`;
}

function collectRules(value: unknown, into: Set<string>): void {
  if (Array.isArray(value)) for (const item of value) collectRules(item, into);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return;
  const { propertyName, operatorName, missingProperties } = value as Record<string, unknown>;
  if (typeof propertyName === 'string') into.add(`"${propertyName}"`);
  else if (Array.isArray(missingProperties))
    into.add(`missing ${missingProperties.map((name) => `"${name}"`).join(', ')}`);
  else if (typeof operatorName === 'string' && !['$jsonSchema', 'properties', 'required'].includes(operatorName))
    into.add(operatorName);
  for (const [key, item] of Object.entries(value))
    if (key !== 'consideredValue' && key !== 'specifiedAs') collectRules(item, into);
}

/** Any error as a GodwitError: those of the server in words, without values or passwords. */
export function translateServerError(error: unknown): GodwitError {
  if (isGodwitError(error)) return error;
  if (isSocketError(error)) return unreachable(error, (error as Error).message);
  if (!(error instanceof MongoError))
    return new GodwitError(
      'GODWIT_UNEXPECTED',
      error instanceof Error ? redactUris(error.message) : 'something that is no error was thrown',
      {
        cause: error,
        next: ['again with --verbose shows where it came from'],
      },
    );
  const code = codeOf(error);
  const message = textOf(error);
  if (code === 18 || code === 8000 || /authentication failed/i.test(error.message))
    return new GodwitError('GODWIT_AUTH', 'wanted to log in, found the user or the password refused', {
      next: ['check the user, the password and authSource in MONGODB_URI'],
      cause: error,
    });
  if (code === 13)
    return new GodwitError(
      'GODWIT_FORBIDDEN',
      `wanted to act on the database, found a right missing: ${deniedText(error)}`,
      {
        next: ['godwit doctor   says which rights are missing'],
        cause: error,
      },
    );
  // collectionUUID, which every read carries, is not known to a server that works as an older one.
  if (code === 72 && /collectionUUID/.test(error.message))
    return new GodwitError(
      'GODWIT_SERVER_VERSION',
      'wanted MongoDB 6.0 or later, found a server that works as an older one (featureCompatibilityVersion)',
      {
        next: [
          "in mongosh:  db.adminCommand({ setFeatureCompatibilityVersion: '6.0' })",
          'godwit run ID   goes on from here',
        ],
        cause: error,
      },
    );
  if (NETWORK_NAMES.has(error.name)) return unreachable(error, message);
  return new GodwitError('GODWIT_UNEXPECTED', message, {
    cause: error,
    details: code === undefined ? {} : { serverCode: code },
    next: ['again with --verbose shows where it came from'],
  });
}

const unreachable = (error: unknown, message: string): GodwitError =>
  new GodwitError('GODWIT_NO_PRIMARY', `wanted to reach the primary, found: ${message}`, {
    next: ['check the address and that the server runs', 'godwit doctor'],
    cause: error,
  });

/**
 * A message of the server without values. It quotes documents, in braces and in the middle of its text, and names what
 * it did not like behind a colon, so that only what comes before them is passed on.
 */
export function textWithoutValues(message: string): string {
  const parts = message.split(' :: caused by :: ').map((part) => {
    const [head = ''] = part.split(/[{"`]|(?<!\w)'|: /, 1);
    return head.replace(/\b\d[\d.]*/g, '9').replace(/[\s:(]+$/, '');
  });
  return parts
    .filter((part) => part !== '')
    .join(': ')
    .slice(0, 400);
}

/** What an error says, without values or passwords: those of the driver and the network hold none of a document. */
function textOf(error: MongoError): string {
  if (!(error instanceof MongoServerError)) return redactUris(error.message).slice(0, 400);
  const told = textWithoutValues(error.message);
  return error.codeName === undefined ? told : `${told} (${error.codeName})`;
}

/** Which command was denied, and where: `not authorized on crm to execute command { find: …`. */
function deniedText(error: MongoError): string {
  const [, where, command] = /not authorized on (\S+) to execute command \{ (\w+):/.exec(error.message) ?? [];
  return where === undefined ? textOf(error) : `not authorized on ${where} to execute ${command}`;
}

/** Why an index cannot take a document; null for other errors. */
export function indexRefusal(error: unknown): DocumentFailure | null {
  const code = codeOf(error);
  if (code === undefined || !INDEX.has(code) || !(error instanceof MongoError)) return null;
  return { code: 'GODWIT_INDEX', message: `an index cannot take it: ${textOf(error)}` };
}
