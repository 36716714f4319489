/**
 * The stages of one batch, in the order of safety: read → decided → journaled → written. `writeBatch` takes nothing
 * but a JournaledBatch, so writing before the before images are in the transaction does not compile.
 */

import type { Change, DocumentFailure } from './change.js';
import type { Counters, Cursor } from './chunk.js';
import type { Member } from './merge-group.js';
import type { StoredDocument } from './stored-document.js';

export interface ReadBatch {
  readonly documents: readonly StoredDocument[];
  /** False when the range has nothing behind these documents. */
  readonly hasMore: boolean;
  /**
   * With a filter: `_id`s (as one-field documents) of everything in the window that was read, chosen or not, in order.
   * The audit keeps those that were not chosen, so that a rollback can tell documents that came later.
   */
  readonly window?: readonly StoredDocument[];
  /** Of a merge: what belongs to each document, by its key. */
  readonly members?: ReadonlyMap<string, readonly Member[]>;
}

export interface FailedDocument {
  readonly document: StoredDocument;
  readonly failure: DocumentFailure;
}

export interface DecidedBatch {
  readonly changes: readonly Change[];
  /** Unchanged and skipped documents: their `_id`s are kept in the audit. */
  readonly untouched: readonly StoredDocument[];
  readonly failed: readonly FailedDocument[];
  /** Documents that were in quarantine and are changed, or right as they are. */
  readonly healed: readonly StoredDocument[];
  readonly counters: Counters;
  /** Where the chunk stands after this batch. */
  readonly cursor: Cursor | null;
  readonly isLast: boolean;
}

declare const JOURNALED: unique symbol;

/** A decided batch whose before images are in the same transaction. Made by the journal only. */
export interface JournaledBatch extends DecidedBatch {
  readonly [JOURNALED]: true;
  /** The chunk's audit chain with this batch, in hex. */
  readonly chain: string;
}

/** Marks a batch as journaled; called by audit/journal.ts once the images are inserted, and by nobody else. */
export const markJournaled = (batch: DecidedBatch, chain: string): JournaledBatch =>
  ({ ...batch, chain }) as JournaledBatch;

export interface WrittenBatch {
  /** Documents that the statements matched; equals the number of changes or the transaction is aborted. */
  readonly matched: number;
}
