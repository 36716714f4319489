/** From single decisions to a batch: what is written, what is quarantined, and where the cursor goes. */
import type { DecidedBatch, FailedDocument, ReadBatch } from '../domain/batch.js';
import type { Change, Decision, DocumentFailure } from '../domain/change.js';
import type { Counters } from '../domain/chunk.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';

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
  const inserted = changes.filter(({ kind }) => kind === 'insert').length;
  const deleted = changes.filter(({ kind }) => kind === 'delete').length;
  const counters: Counters = {
    scanned: taken,
    changed: changes.length - inserted - deleted,
    inserted,
    deleted,
    unchanged: untouched.length - skipped,
    skipped,
    failed: failed.length,
  };
  const isWhole = taken === read.documents.length;
  const last = read.documents[taken - 1];
  const passed = passedOver(read, isWhole ? undefined : last);
  const end = isWhole ? (read.window?.at(-1) ?? last) : last;
  return {
    changes,
    untouched: [...untouched, ...passed],
    failed,
    healed: [],
    counters,
    cursor: end ? { id: typedId(end) } : null,
    isLast: isWhole && !read.hasMore,
  };
}

/** What the filter did not choose, up to `last`, or in the whole window. */
function passedOver(read: ReadBatch, last: StoredDocument | undefined): readonly StoredDocument[] {
  if (!read.window) return [];
  const chosen = new Set(read.documents.map(({ key }) => key));
  const end = last ? read.window.findIndex(({ key }) => key === last.key) : read.window.length;
  return read.window.slice(0, end).filter(({ key }) => !chosen.has(key));
}
