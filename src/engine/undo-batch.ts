/**
 * The rollback of one batch, one transaction: read its audit → read the documents as they are → decide → audit of the
 * rollback itself → checkpoint → data → commit. The same order of safety, fence and redo as forwards.
 */
import type { ClientSession } from 'mongodb';
import { journal } from '../audit/journal.js';
import { type AuditDocument, decodeEntries } from '../domain/audit-entry.js';
import type { DecidedBatch } from '../domain/batch.js';
import type { Change } from '../domain/change.js';
import { addUndo, type Chunk, type ChunkUndo, MAX_LISTED_CONFLICTS, NO_COUNTERS, NO_UNDO } from '../domain/chunk.js';
import { decideSeries, downsOf } from '../domain/series-step.js';
import { type StoredDocument, storedDocument, typedId } from '../domain/stored-document.js';
import { decideUndo, NO_UNDO_BATCH, type Restore, refuseUndo, type UndoBatch } from '../domain/undo.js';
import { GodwitError } from '../errors.js';
import { readBatchAudit } from '../mongo/audit-entries.js';
import { findChunk, undoCheckpoint } from '../mongo/chunks.js';
import { readBatch } from '../mongo/read-batch.js';
import { codeOf, isDuplicateKey } from '../mongo/server-errors.js';
import { CommitUnknown, inTransaction } from '../mongo/transaction.js';
import {
  applyWrites,
  forwardWrite,
  orderedWrite,
  RefusedDocument,
  removal,
  type Write,
  wholeWrite,
} from '../mongo/write-batch.js';
import { applyTransform } from './apply-transform.js';
import { BatchTaken, CheckpointMismatch, leaseLost } from './doubt.js';
import { Effort, Inexact } from './effort.js';
import { faultPoint } from './fault-points.js';
import { commitPatience, isRange, readFrom, type StepContext } from './run-context.js';

export interface UndoOutcome {
  readonly undone: UndoBatch;
  readonly chunk: Chunk;
  readonly redone: number;
}

/** Number of the batch that is undone next; 0 when none is left. */
export const nextUndo = (chunk: Chunk): number => (chunk.undo ? chunk.undo.seq - 1 : chunk.seq);

export function restoreWrite({ change, how, order }: Restore): Write {
  if (how === 'removed') return removal(change);
  if (how === 'whole') return wholeWrite({ bytes: change.after }, typedId(change.before));
  return how === 'ordered' ? orderedWrite(change, order) : forwardWrite(change);
}

/**
 * Documents that the server put together are read back in the same transaction: where it could not carry something
 * either, the batch is redone with their fields only.
 */
export async function requireExact(
  context: StepContext,
  restores: readonly Restore[],
  effort: Effort,
  session: ClientSession,
): Promise<void> {
  const ordered = restores.filter(({ how }) => how === 'ordered').map(({ change }) => change);
  if (ordered.length === 0) return;
  const filter = { _id: { $in: ordered.map(({ before }) => typedId(before)) } };
  const limits = { limit: ordered.length + 1, maxBytes: Number.POSITIVE_INFINITY, session };
  const read = await readBatch(readFrom(context), filter, limits);
  const found = new Map(read.documents.map(({ key, bytes }) => [key, bytes]));
  const wrong = ordered.filter(({ before, after }) => !found.get(before.key)?.equals(after));
  for (const { before } of wrong) effort.inexact.add(before.key);
  if (wrong.length > 0) throw new Inexact('put together otherwise');
}

/** The author's `down` on one document, as a change; null when it does not give one. Of a series, one after the other. */
export function downOf(context: StepContext): ((current: StoredDocument) => Change | null) | undefined {
  const downs = downsOf(context.step);
  if (!downs) return undefined;
  const { locate } = context;
  const timeoutMs = context.settings.transformTimeoutMs;
  return (current) => {
    let now = current;
    for (const fn of downs) {
      const [decision] = applyTransform([now], { fn, locate, timeoutMs }, {});
      if (downs.length === 1) return decision?.kind === 'changed' ? decision.change : null;
      if (decision?.kind === 'failed') return null;
      if (decision?.kind === 'changed') now = storedDocument(decision.change.after);
    }
    const whole = decideSeries(current, now);
    return whole.kind === 'changed' ? whole.change : null;
  };
}

/** What the rollback of one batch would do, or does when called inside its transaction. */
export async function decideUndoBatch(
  context: StepContext,
  chunk: Chunk,
  seq: number,
  options: {
    readonly onConflict: 'report' | 'force';
    readonly effort: Effort;
    readonly session?: ClientSession;
    /** Documents as they will be when later batches are undone: for a dry run, which undoes nothing. */
    readonly overlay?: ReadonlyMap<string, Buffer>;
  },
): Promise<UndoBatch> {
  const place = { run: chunk.run, chunk: chunk._id, direction: 'up', round: 0, seq } as const;
  const batch = await readBatchAudit(context.state, place, options.session);
  if (!batch) return requireAccepted(context, chunk, seq);
  const { head, images } = batch;
  if (head.n === 0) return NO_UNDO_BATCH;
  // `force` is for the application's edits; images that cannot be trusted are never written.
  if (!batch.isIntact) return refuseUndo(idsIn(head), head.n, context.step.collection);
  const entries = decodeEntries(images);
  const ids = entries.map(({ before }) => typedId(before));
  const read = await readBatch(
    readFrom(context),
    { _id: { $in: ids } },
    { limit: ids.length, maxBytes: Number.POSITIVE_INFINITY, ...(options.session ? { session: options.session } : {}) },
  );
  const current = new Map(read.documents.map((document) => [document.key, document]));
  for (const { before } of options.overlay ? entries : []) {
    const later = options.overlay?.get(before.key);
    if (later?.length === 0) current.delete(before.key);
    else if (later) current.set(before.key, storedDocument(later));
  }
  return decideUndo(entries, current, {
    collection: context.step.collection,
    onConflict: options.onConflict,
    down: downOf(context),
    refused: options.effort.refused,
    inexact: options.effort.inexact,
  });
}

/**
 * A batch that is gone from the audit. The others are undone only where somebody has accepted that with `amend`, which
 * makes the run `restored`; its documents are then found as others without a before image are (newcomers.ts).
 */
function requireAccepted({ run }: StepContext, chunk: Chunk, seq: number): UndoBatch {
  if (run.history.some(({ to }) => to === 'restored')) return NO_UNDO_BATCH;
  throw new GodwitError('GODWIT_STATE_LOST', `wanted the audit of batch ${seq} of chunk ${chunk._id}, found it gone`, {
    next: [
      'restore the audit collection from a backup',
      `godwit amend ${run.migration} --because "…"   accepts the loss; the rollback then brings the others back`,
    ],
  });
}

/** The ends of a batch that cannot be decoded with trust: enough to find it. */
const idsIn = ({ first, last, ids }: AuditDocument): readonly unknown[] =>
  ids ?? [first, last].filter((id) => id !== undefined);

export const toDecided = (undone: UndoBatch): DecidedBatch => ({
  changes: undone.restores.map(({ change }) => change),
  untouched: [],
  failed: [],
  healed: [],
  counters: NO_COUNTERS,
  cursor: null,
  isLast: false,
});

function moved(chunk: Chunk, seq: number, undone: UndoBatch): ChunkUndo {
  const listed = [...(chunk.undo?.conflicts ?? []), ...undone.conflicts].slice(0, MAX_LISTED_CONFLICTS);
  return {
    seq,
    done: seq <= 1,
    round: chunk.undo?.round ?? 1,
    counters: addUndo(chunk.undo?.counters ?? NO_UNDO, undone.counters),
    conflicts: listed,
    notes: [...(chunk.undo?.notes ?? []), ...undone.notes].slice(0, MAX_LISTED_CONFLICTS),
  };
}

/**
 * A document goes back to what it was, whatever a validator says that came since; where the user may not pass it by, the
 * document is a conflict.
 */
export class Bypass {
  #state: 'no' | 'yes' | 'denied' = 'no';

  get isBypassed(): boolean {
    return this.#state === 'yes';
  }

  /** True for an error after which the next try is another one. */
  takes(error: unknown): boolean {
    if (this.#state === 'no' && error instanceof RefusedDocument && codeOf(error.cause) === 121) this.#state = 'yes';
    else if (this.#state === 'yes' && codeOf(causeOf(error)) === 13) this.#state = 'denied';
    else return false;
    return true;
  }
}

/** Undoes the newest batch of the chunk that is not undone yet; redone until it is committed. */
export async function undoBatch(
  context: StepContext,
  chunk: Chunk,
  onConflict: 'report' | 'force',
  session: ClientSession,
): Promise<UndoOutcome> {
  const effort = new Effort(context.settings.batchSize, { ...context.settings, target: context.target });
  const seq = nextUndo(chunk);
  const validator = new Bypass();
  let outcome: UndoOutcome | undefined;
  for (;;) {
    try {
      context.activity.at(session, 'read');
      await faultPoint('rollback:before-read');
      outcome = await inTransaction(
        session,
        () => body(context, chunk, seq, { onConflict, effort, session, bypass: validator.isBypassed }),
        commitPatience(context, session),
      ).finally(() => context.watch.release(session));
      await faultPoint('rollback:after-commit');
      context.activity.through(session);
      return outcome;
    } catch (error) {
      const isThere = await settleUndo(context, chunk, seq, error);
      if (isThere) {
        context.activity.through(session);
        return { undone: NO_UNDO_BATCH, chunk: isThere, redone: effort.redone };
      }
      context.activity.redone(error);
      if (!validator.takes(error) && !(error instanceof CheckpointMismatch))
        await effort.after(error, context.signal, commitPatience(context).note);
      if (context.signal.aborted) throw context.signal.reason;
    }
  }
}

const causeOf = (error: unknown): unknown => (error instanceof RefusedDocument ? error.cause : error);

interface BodyOptions {
  readonly onConflict: 'report' | 'force';
  readonly effort: Effort;
  readonly session: ClientSession;
  readonly bypass: boolean;
}

async function body(context: StepContext, chunk: Chunk, seq: number, options: BodyOptions): Promise<UndoOutcome> {
  const { effort, session } = options;
  const undone = await decideUndoBatch(context, chunk, seq, options);
  await faultPoint('rollback:after-read');
  context.activity.at(session, 'audit');
  await journal(
    context.state,
    chunk,
    toDecided(undone),
    { direction: 'down', seq, round: chunk.undo?.round ?? 1 },
    isRange(context, chunk),
    session,
  ).catch((error: unknown) => {
    throw isDuplicateKey(error) ? new BatchTaken('audit') : error;
  });
  await faultPoint('rollback:after-audit');
  const undo = moved(chunk, seq, undone);
  const askedAt = performance.now();
  if (!(await undoCheckpoint(context.state, chunk, undo, session))) throw new CheckpointMismatch('checkpoint');
  effort.roundTripMs = performance.now() - askedAt;
  await faultPoint('rollback:after-checkpoint');
  effort.writing = undone.restores.map(({ change }) => change.before.key);
  context.activity.at(session, 'write');
  context.watch.hold(session, effort.roundTripMs);
  await applyWrites(context.target, undone.restores.map(restoreWrite), {
    session,
    isSingle: effort.isSingle,
    bypassDocumentValidation: options.bypass,
  });
  await requireExact(context, undone.restores, effort, session);
  await faultPoint('rollback:after-data');
  context.activity.at(session, 'commit');
  await faultPoint('rollback:before-commit');
  return { undone, chunk: { ...chunk, undo }, redone: effort.redone };
}

/** The chunk, when an unknown commit turns out to be there; undefined when the batch is to be redone. */
async function settleUndo(context: StepContext, chunk: Chunk, seq: number, error: unknown): Promise<Chunk | undefined> {
  if (!(error instanceof CommitUnknown) && !(error instanceof CheckpointMismatch)) return undefined;
  const stored = await findChunk(context.state, chunk._id);
  if (!stored || stored.fence !== chunk.fence) throw leaseLost(context.run.migration);
  if (stored.undo?.seq === seq) return stored;
  if (stored.undo?.seq === chunk.undo?.seq && !(error instanceof BatchTaken)) return undefined;
  throw new GodwitError(
    'GODWIT_STATE_EDITED',
    `wanted the rollback of chunk ${chunk._id} at batch ${seq}, found ${stored.undo?.seq ?? 'none'}`,
    {
      next: [`godwit status ${context.run.migration}`],
    },
  );
}
