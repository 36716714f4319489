/** From single decisions to a batch: what is written, what is quarantined, and where the cursor goes. */
import type { DecidedBatch, FailedDocument, ReadBatch } from '../domain/batch.js';
import { type Change, type Decision, type DocumentFailure, type StoredDocument, typedId } from '../domain/change.js';
import type { Counters } from '../domain/chunk.js';

export interface BatchLimits {
  /** Failures that may still happen before the run has to stop; the one beyond is recorded, and ends the batch. */
  readonly failuresLeft: number;
  /** Changes that may still be made (`--limit`). */
  readonly changesLeft: number;
  /** Documents that the server refused in an earlier try of this batch. */
  readonly refused: ReadonlyMap<string, DocumentFailure>;
}

/** Takes decisions in order until a limit is reached; what is not taken is left for the next batch. */
export function decideBatch(read: ReadBatch, decisions: readonly Decision[], limits: BatchLimits): DecidedBatch {
  const changes: Change[] = [];
  const untouched: StoredDocument[] = [];
  const failed: FailedDocument[] = [];
  let skipped = 0;
  let taken = 0;
  for (const decision of decisions) {
    if (failed.length > limits.failuresLeft || changes.length >= limits.changesLeft) break;
    taken += 1;
    const refusal = decision.kind === 'changed' ? limits.refused.get(decision.change.before.key) : undefined;
    if (decision.kind === 'changed' && refusal) failed.push({ document: decision.change.before, failure: refusal });
    else if (decision.kind === 'changed') changes.push(decision.change);
    else if (decision.kind === 'failed') failed.push({ document: decision.document, failure: decision.failure });
    else {
      untouched.push(decision.document);
      if (decision.kind === 'skipped') skipped += 1;
    }
  }
  const counters: Counters = {
    scanned: taken,
    changed: changes.length,
    unchanged: untouched.length - skipped,
    skipped,
    failed: failed.length,
  };
  const last = read.documents[taken - 1];
  return {
    changes,
    untouched,
    failed,
    counters,
    cursor: last ? { id: typedId(last) } : null,
    isLast: taken === read.documents.length && !read.hasMore,
  };
}
