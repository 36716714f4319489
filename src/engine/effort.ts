/**
 * What to do after a batch's transaction failed: one decision per error, bounded. A write conflict redoes the batch,
 * in halves when it repeats; a refused document is found and left out; what will pass is waited for.
 */
import type { Collection } from 'mongodb';
import type { Decision, DocumentFailure } from '../domain/change.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { GodwitError, isGodwitError } from '../errors.js';
import { backoffMs, pause } from '../kernel/retry.js';
import { CountMismatch } from '../mongo/count-mismatch.js';
import { LockDenied } from '../mongo/lock-first.js';
import {
  type BatchError,
  classifyBatchError,
  codeOf,
  duplicateIndex,
  indexRefusal,
  isDuplicateKey,
  isNetworkError,
  translateServerError,
  validationReason,
} from '../mongo/server-errors.js';
import { CommitUnknown } from '../mongo/transaction.js';
import { findHolder } from '../mongo/unique-keys.js';
import { RefusedDocument } from '../mongo/write-batch.js';
import { PipelineFailed } from './apply-pipeline.js';

/** Tries of one batch before it is halved. */
const TRIES_BEFORE_HALVING = 3;
/** Tries of a document alone before it is locked first. */
const TRIES_BEFORE_LOCK = 2;
/** Tries of a batch that cannot be halved any more. */
const TRIES_ALONE = 40;
/** Longest pause after a conflict, in ms. */
const CONFLICT_PAUSE_MS = 60;
/** Tries after interruptions that are no conflicts, while a primary answers. */
const TRIES_INTERRUPTED = 20;
/** The same, where somebody ends the operations by hand: who insists must not be worked against. */
const TRIES_KILLED = 5;
const KILLED = 11601;
/** A try that lasted longer than this may have been too long for the server, in ms. */
const LONG_TRY_MS = 1_000;
/** What the server said of one document, in words without its values. */
export function refusalOf(error: unknown): DocumentFailure {
  if (isDuplicateKey(error))
    return {
      code: 'GODWIT_DUPLICATE',
      message: `the unique index "${duplicateIndex(error)}" has the key of another document`,
    };
  const code = codeOf(error);
  if (code === 121) return { code: 'GODWIT_VALIDATION', message: validationReason(error) };
  if (code === 17419 || code === 10334)
    return { code: 'GODWIT_TOO_LARGE', message: 'the server refuses it: larger than 16 MiB' };
  return (
    indexRefusal(error) ?? { code: 'GODWIT_UNEXPECTED', message: `the server refuses it (code ${code ?? 'none'})` }
  );
}

/** Thrown inside a transaction whose result is not what was wanted, once the documents are named in `inexact`. */
export class Inexact extends Error {}

/** What happened inside of what is thrown for it. */
const causeOf = (error: unknown): unknown =>
  error instanceof CommitUnknown || error instanceof PipelineFailed ? error.cause : error;

function kindOf(error: unknown): BatchError {
  if (error instanceof CountMismatch || error instanceof LockDenied) return 'conflict';
  // On no document by itself: it was another one then.
  if (error instanceof PipelineFailed) return 'interrupted';
  return classifyBatchError(causeOf(error));
}

export class Effort {
  /** Documents to read in the next try. */
  limit: number;
  /** One statement a document, to learn which one is refused. */
  isSingle = false;
  readonly refused = new Map<string, DocumentFailure>();
  /** Documents that came out otherwise than they should: set by the batch with Inexact. */
  readonly inexact = new Set<string>();
  /** Tries that ended in a conflict or an interruption. */
  redone = 0;
  /** Documents of the try under way, in the order of their writes: set by the batch. */
  writing: readonly string[] = [];
  /** How long a statement with little to do took, in ms: set by the batch before it holds documents. */
  roundTripMs = 0;
  /** The one document of the try under way, when it is alone: set by the batch. */
  alone: { readonly id: unknown } | null = null;

  readonly #wanted: number;
  #conflicts = 0;
  #conflictsAlone = 0;
  #isLockDenied = false;
  #interrupted = 0;
  #outageSince: number | null = null;
  #triedAt = performance.now();

  /**
   * @param limit documents to begin with: fewer than a batch where the last one met conflicts
   * @param options how long a server that does not answer is waited for (0 where nothing is tried twice), and where to
   *   look for who has a key that a unique index refuses
   */
  constructor(
    limit: number,
    private readonly options: { readonly outageMs: number; readonly target?: Collection } = { outageMs: 0 },
  ) {
    this.#wanted = limit;
    this.limit = limit;
  }

  /** The document to lock first: one that met conflicts although it was alone. */
  get hot(): { readonly id: unknown } | null {
    return this.#conflictsAlone >= TRIES_BEFORE_LOCK && !this.#isLockDenied ? this.alone : null;
  }

  /** The decision on a document that the server has refused. */
  refusalOf(document: StoredDocument): Decision {
    const failure = this.refused.get(document.key);
    if (!failure) throw new RangeError('wanted a document that was refused');
    return { kind: 'failed', document, failure };
  }

  /**
   * Decides on the next try; returns after the pause that it needs, or throws what ends the run.
   *
   * @param note told why the batch is redone, where that is no everyday conflict
   */
  async after(error: unknown, signal: AbortSignal, note: (text: string) => void): Promise<void> {
    await this.#decide(error, signal, note);
    this.#triedAt = performance.now();
  }

  async #decide(error: unknown, signal: AbortSignal, note: (text: string) => void): Promise<void> {
    if (isGodwitError(error)) throw error;
    if (error instanceof RefusedDocument) return this.#refuse(error, signal, note);
    if (error instanceof Inexact) return;
    if (error instanceof LockDenied) this.#isLockDenied = true;
    switch (kindOf(error)) {
      case 'document':
        // In single mode the culprit is named; an error without a name is not about a document of the batch.
        if (this.isSingle) throw translateServerError(error);
        this.isSingle = true;
        return;
      case 'conflict':
        return this.#conflict(error, signal);
      case 'too-big':
        return this.#halve(error, signal, note);
      case 'interrupted':
        return this.#interrupt(error, signal, note);
      case 'replaced':
        throw new GodwitError(
          'GODWIT_TARGET_REPLACED',
          'wanted the collection that was planned, found another one under its name',
          {
            next: ['godwit status ID', 'put the planned collection back, or plan anew'],
            cause: error,
          },
        );
      case 'fatal':
        throw translateServerError(causeOf(error));
    }
  }

  async #refuse(error: RefusedDocument, signal: AbortSignal, note: (text: string) => void): Promise<void> {
    // Something else than the document was in the way: a conflict, an election.
    if (classifyBatchError(error.cause) !== 'document') return this.#decide(error.cause, signal, note);
    const key = this.writing[error.index];
    if (key === undefined) throw translateServerError(error.cause);
    const { target } = this.options;
    const other = target && isDuplicateKey(error.cause) ? await findHolder(target, error.cause) : null;
    this.refused.set(key, { ...refusalOf(error.cause), ...(other ? { other } : {}) });
    this.isSingle = false;
  }

  async #conflict(error: unknown, signal: AbortSignal): Promise<void> {
    this.#conflicts += 1;
    if (this.limit === 1) this.#conflictsAlone += 1;
    this.redone += 1;
    if (this.#conflicts % TRIES_BEFORE_HALVING === 0) this.limit = Math.max(1, Math.floor(this.limit / 2));
    if (this.#conflicts > TRIES_ALONE + TRIES_BEFORE_HALVING * Math.ceil(Math.log2(this.#wanted + 1)))
      throw tooOften(error, 'a write conflict', this.#conflicts);
    // Short: whoever was there first is gone after one write.
    await pause(backoffMs(this.#conflicts, Math.random, 2, CONFLICT_PAUSE_MS), signal);
  }

  /** One document alone that is too much for the server is too much for now: others use its cache, too. */
  async #halve(error: unknown, signal: AbortSignal, note: (text: string) => void): Promise<void> {
    if (this.limit === 1) return this.#interrupt(error, signal, note);
    this.limit = Math.floor(this.limit / 2);
    this.redone += 1;
    note(`server cache under pressure (code ${codeOf(error)}); redone with ${this.limit} documents`);
  }

  async #interrupt(error: unknown, signal: AbortSignal, note: (text: string) => void): Promise<void> {
    this.redone += 1;
    const cause = causeOf(error);
    if (isNetworkError(cause)) this.#waitForServer(cause, note);
    else this.#countInterruption(cause, note);
    await pause(backoffMs(this.#interrupted + 1, Math.random, 100), signal);
  }

  #waitForServer(error: unknown, note: (text: string) => void): void {
    if (this.#outageSince === null) note('connection lost, reconnecting; the batch is read again and redone');
    this.#outageSince ??= performance.now();
    if (performance.now() - this.#outageSince <= this.options.outageMs) return;
    throw serverGone(error, this.options.outageMs);
  }

  #countInterruption(error: unknown, note: (text: string) => void): void {
    this.#outageSince = null;
    this.#interrupted += 1;
    const code = codeOf(error);
    if (this.#interrupted >= (code === KILLED ? TRIES_KILLED : TRIES_INTERRUPTED))
      throw tooOften(error, `an interruption (code ${code})`, this.#interrupted);
    const tookMs = performance.now() - this.#triedAt;
    // The server ends transactions that last too long for it: the same batch again would take as long again.
    if (tookMs > LONG_TRY_MS) this.limit = Math.max(1, Math.floor(this.limit / 2));
    note(
      `the server ended the transaction after ${(tookMs / 1_000).toFixed(1)} s (code ${code}: primary changed, or interrupted); redone with at most ${this.limit} documents`,
    );
  }
}

const tooOften = (error: unknown, what: string, times: number): GodwitError =>
  new GodwitError('GODWIT_CONFLICTS', `wanted to commit a batch, found ${what} ${times} times in a row`, {
    next: ['godwit run ID   goes on from here', 'a smaller --batch-size meets fewer writers'],
    cause: error,
  });

/** The error of a run whose server did not come back. */
export const serverGone = (error: unknown, ms: number): GodwitError =>
  new GodwitError(
    'GODWIT_NO_PRIMARY',
    `wanted a primary to answer within ${Math.round(ms / 1_000)} s, found: ${translateServerError(error).message}`,
    {
      next: [
        'godwit doctor   says when it answers again; a server that ended by itself may have a full disk',
        'godwit run ID   goes on from here: whether the last batch is there is told by the database',
      ],
      cause: error,
    },
  );
