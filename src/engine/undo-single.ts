/**
 * Rollbacks of single documents, outside the order of batches: `--only`, and documents without a before image that
 * the author's `down` can take back. Audited and fenced like everything else; their audit has sequence numbers below
 * zero, since they undo no batch of their own.
 */
import type { ClientSession } from 'mongodb';
import { journal } from '../audit/journal.js';
import { type AuditEntry, decodeEntries } from '../domain/audit-entry.js';
import type { Chunk } from '../domain/chunk.js';
import { keyOf, typedId } from '../domain/stored-document.js';
import { decideUndo, NO_UNDO_BATCH, type Restore, type UndoBatch } from '../domain/undo.js';
import { auditAround, leastAuditSeq } from '../mongo/audit-entries.js';
import { idsChunk, touchFence } from '../mongo/chunks.js';
import { readByIds } from '../mongo/read-batch.js';
import { inTransaction } from '../mongo/transaction.js';
import { applyWrites } from '../mongo/write-batch.js';
import { leaseLost } from './doubt.js';
import { Effort } from './effort.js';
import { commitPatience, isRange, readFrom, type StepContext } from './run-context.js';
import { Bypass, downOf, requireExact, restoreWrite, toDecided } from './undo-batch.js';

type Decide = (session: ClientSession | undefined, effort: Effort) => Promise<UndoBatch>;

/** Carries out what `decide` says in one transaction of its own; redone until it is committed. */
async function undoAside(context: StepContext, session: ClientSession, decide: Decide): Promise<UndoBatch> {
  const chunk: Chunk = await idsChunk(context.state, context.run._id, context.stepIndex, 'late', context.fence);
  const effort = new Effort(context.settings.batchSize, { ...context.settings, target: context.target });
  const validator = new Bypass();
  for (;;) {
    try {
      return await inTransaction(
        session,
        async () => {
          // First: who has lost the lease must not meet the next holder's audit.
          const askedAt = performance.now();
          if (!(await touchFence(context.state, chunk._id, context.fence, session)))
            throw leaseLost(context.run.migration);
          effort.roundTripMs = performance.now() - askedAt;
          const undone = await decide(session, effort);
          const seq = (await leastAuditSeq(context.state, chunk, session)) - 1;
          await journal(
            context.state,
            chunk,
            toDecided(undone),
            { direction: 'down', seq, round: 0 },
            isRange(context, chunk),
            session,
          );
          effort.writing = undone.restores.map(({ change }) => change.before.key);
          context.watch.hold(session, effort.roundTripMs);
          await applyWrites(context.target, undone.restores.map(restoreWrite), {
            session,
            isSingle: effort.isSingle,
            bypassDocumentValidation: validator.isBypassed,
          });
          await requireExact(context, undone.restores, effort, session);
          return undone;
        },
        commitPatience(context, session),
      ).finally(() => context.watch.release(session));
    } catch (error) {
      if (!validator.takes(error)) await effort.after(error, context.signal, commitPatience(context).note);
      if (context.signal.aborted) throw context.signal.reason;
    }
  }
}

/**
 * Changed several times by the run: back to what was there before the first change, judged by what the last one left.
 * Only deleted, and more than once: somebody else has inserted it in between.
 */
function acrossAll(entries: readonly AuditEntry[], oldest: AuditEntry, newest: AuditEntry): AuditEntry {
  if (oldest.kind === 'insert') return { ...newest, kind: 'insert', before: oldest.before };
  if (entries.every(({ kind }) => kind === 'delete')) return newest;
  return { ...newest, kind: newest.kind === 'insert' ? 'update' : newest.kind, before: oldest.before };
}

/** What undoing the newest entry of one document would do; null when the run never changed it. */
async function decideOnly(
  context: StepContext,
  id: unknown,
  onConflict: 'report' | 'force',
  session: ClientSession | undefined,
  effort: Effort,
): Promise<UndoBatch | null> {
  const [document] = await readByIds(readFrom(context), [id], session ? { session } : {});
  const batches = (await auditAround(context.state, context.run._id, id)).filter(({ head }) => head.direction === 'up');
  const entries = batches
    .filter(({ head, isIntact }) => head.step === context.stepIndex && isIntact)
    .flatMap(({ images }) => decodeEntries(images))
    .filter(({ before }) => before.key === (document?.key ?? keyOf(id)));
  const [oldest] = entries;
  const newest = entries.at(-1);
  if (!oldest || !newest) return null;
  return decideUndo([acrossAll(entries, oldest, newest)], new Map(document ? [[document.key, document]] : []), {
    collection: context.step.collection,
    onConflict,
    down: downOf(context),
    refused: effort.refused,
    inexact: effort.inexact,
  });
}

/** Rolls one document back; null when the run never changed it. Without a session nothing is written. */
export async function undoOnly(
  context: StepContext,
  id: unknown,
  onConflict: 'report' | 'force',
  session: ClientSession | undefined,
): Promise<UndoBatch | null> {
  const seen = await decideOnly(context, id, onConflict, undefined, new Effort(1));
  if (!seen || !session || seen.restores.length === 0) return seen;
  return undoAside(context, session, async (own, effort) => {
    const decided = await decideOnly(context, id, onConflict, own, effort);
    return decided ?? NO_UNDO_BATCH;
  });
}

/** Documents without a before image that `down` takes back; without a session they are only counted. */
export async function undoNewcomers(
  context: StepContext,
  ids: readonly unknown[],
  session: ClientSession | undefined,
): Promise<{ readonly restored: number; readonly left: readonly unknown[] }> {
  const down = downOf(context);
  if (!down || ids.length === 0) return { restored: 0, left: ids };
  const decide = async (own: ClientSession | undefined): Promise<{ restores: Restore[]; left: unknown[] }> => {
    const restores: Restore[] = [];
    const left: unknown[] = [];
    for (const document of await readByIds(readFrom(context), ids, own ? { session: own } : {})) {
      const change = down(document);
      if (change) restores.push({ change, how: 'fields', order: [] });
      else left.push(typedId(document));
    }
    return { restores, left };
  };
  const seen = await decide(undefined);
  if (session && seen.restores.length > 0)
    await undoAside(context, session, async (own) => ({ ...NO_UNDO_BATCH, restores: (await decide(own)).restores }));
  return { restored: seen.restores.length, left: seen.left };
}
