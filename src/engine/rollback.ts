/** Rollbacks, done or only looked at: of a whole run (its work is in backward.ts), or of single documents. */
import type { ClientSession } from 'mongodb';
import { decodeHashes } from '../domain/audit-entry.js';
import {
  addUndo,
  type Chunk,
  chunksOfStep,
  NO_UNDO,
  type UndoConflict,
  type UndoCounters,
  type UndoNote,
  writtenOf,
} from '../domain/chunk.js';
import { addNewcomers, type Newcomers, NO_NEWCOMERS } from '../domain/newcomers.js';
import { isSpent, type RunDocument } from '../domain/run.js';
import { keyOf } from '../domain/stored-document.js';
import { OVERWRITTEN, type UndoBatch } from '../domain/undo.js';
import { GodwitError } from '../errors.js';
import { locateIn } from '../migration/load.js';
import { auditOfChunk } from '../mongo/audit-entries.js';
import { listChunks } from '../mongo/chunks.js';
import type { State } from '../mongo/state.js';
import { Backward, inOrder, type RollbackOptions, sumOfUndo } from './backward.js';
import { Effort } from './effort.js';
import { OPEN_GATE } from './gate.js';
import { goneCollections, isLeavingGround, leadOut, placesLeft } from './lead.js';
import { settleNewcomers } from './newcomers.js';
import { Recorder } from './recorder.js';
import { requireChunks, stepContext } from './run.js';
import type { RunContext } from './run-context.js';
import { NO_WATCH } from './sentinel.js';
import { Tally } from './tally.js';
import { NO_THREADS } from './transform-threads.js';
import { decideUndoBatch, nextUndo } from './undo-batch.js';
import { undoOnly } from './undo-single.js';
import { Activity } from './watchdog.js';
import { type RunFacts, withLease } from './with-lease.js';

export interface RollbackOutcome {
  readonly run: RunDocument;
  readonly counters: UndoCounters;
  readonly conflicts: readonly UndoConflict[];
  readonly notes: readonly UndoNote[];
  readonly newcomers: Newcomers;
}

/** What a rollback has done, from the chunks that it moved. */
export async function storedOutcome(facts: RunFacts, run: RunDocument): Promise<RollbackOutcome> {
  const chunks = await listChunks(facts.state, run._id);
  return outcomeOf(
    run,
    sumOfUndo(chunks),
    [...run.rewritten, ...chunks.flatMap((chunk) => chunk.undo?.conflicts ?? [])],
    chunks.flatMap((chunk) => chunk.undo?.notes ?? []),
    run.newcomers ?? NO_NEWCOMERS,
    run.rewritten.filter(({ because }) => because !== OVERWRITTEN).length,
  );
}

/** A document in conflict is one, however often the run changed it; what was overwritten is listed, and is none. */
function outcomeOf(
  run: RunDocument,
  counters: UndoCounters,
  all: readonly UndoConflict[],
  notes: readonly UndoNote[],
  newcomers: Newcomers,
  rewritten = 0,
): RollbackOutcome {
  const conflicts = new Map<string, UndoConflict>();
  let repeated = 0;
  for (const conflict of all) {
    const key = `${conflict.collection}/${keyOf(conflict.id)}`;
    const other = conflicts.get(key);
    if (other && conflict.because !== OVERWRITTEN) repeated += 1;
    const fields = new Set([...(other?.fields ?? []), ...conflict.fields]);
    conflicts.set(key, { ...conflict, because: other?.because ?? conflict.because, fields: [...fields] });
  }
  return {
    run,
    counters: { ...counters, conflicts: Math.max(0, counters.conflicts + rewritten - repeated) },
    conflicts: [...conflicts.values()],
    notes,
    newcomers,
  };
}

/** Rolls the run back, or goes on with a rollback that was stopped. A second one of a finished rollback only looks. */
export async function rollBack(facts: RunFacts, run: RunDocument, options: RollbackOptions): Promise<RollbackOutcome> {
  const after = isLeavingGround(run) ? run : await documentsBack(facts, run, options);
  const isThrough = after.state === 'rolling-back' || isLeavingGround(run);
  return storedOutcome(facts, isThrough ? await leadOut(facts, after) : after);
}

function documentsBack(facts: RunFacts, run: RunDocument, options: RollbackOptions): Promise<RunDocument> {
  const own = { ...facts, isUnwatched: goneCollections(run).size > 0 };
  return withLease(own, run, Number.POSITIVE_INFINITY, async (context, sessions) => {
    // Another one may have finished it before the lease was taken.
    if (context.run.state === 'rolled-back' && options.onConflict !== 'force') return;
    const recorder = new Recorder(context, 'down');
    try {
      await new Backward(facts, context, sessions, options, recorder).work();
    } catch (error) {
      await recorder.settle(error);
    }
  });
}

async function changedKeys(state: State, chunks: readonly Chunk[]): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const chunk of chunks)
    for await (const { head, images, isIntact } of auditOfChunk(state, chunk, 'up'))
      if (head.n > 0 && isIntact) for (const { key } of decodeHashes(images)) keys.add(key);
  return keys;
}

/** The same without a write: what a rollback would do now. */
export async function rollBackDry(
  facts: RunFacts,
  run: RunDocument,
  options: RollbackOptions,
): Promise<RollbackOutcome> {
  const context = lookingContext(facts, run);
  const stored = await requireChunks(context);
  // As a rollback would: a finished one begins again, another one goes on.
  const chunks = isSpent(run.state) ? stored.map((chunk) => ({ ...chunk, undo: null })) : stored;
  context.tally.undo = sumOfUndo(chunks);
  const conflicts = chunks.flatMap(({ undo }) => undo?.conflicts ?? []);
  const notes = chunks.flatMap(({ undo }) => undo?.notes ?? []);
  let newcomers = NO_NEWCOMERS;
  for (const index of placesLeft(context.run).reverse()) {
    const step = await stepContext(facts, context, index);
    // Documents that the run changed twice: what undoing the later change makes of them is what the earlier one meets.
    const overlay = new Map<string, Buffer>();
    const early = await changedKeys(context.state, chunksOfStep(chunks, index).early);
    for (const chunk of inOrder(chunks, index).flat()) {
      for (let seq = nextUndo(chunk); seq > 0 && !context.signal.aborted; seq -= 1) {
        const undone = await decideUndoBatch(step, chunk, seq, {
          onConflict: options.onConflict,
          effort: new Effort(1),
          overlay,
        });
        for (const { change } of undone.restores)
          if (chunk.kind === 'ids' || early.has(change.before.key)) overlay.set(change.before.key, change.after);
        context.tally.addUndo(undone.counters, 0);
        if (conflicts.length < 1_000) conflicts.push(...undone.conflicts);
        if (notes.length < 1_000) notes.push(...undone.notes);
        context.events.emit('run:undo', {
          run: context.run._id,
          undo: context.tally.undo ?? NO_UNDO,
          total: writtenOf(context.run.counters),
        });
      }
    }
    newcomers = addNewcomers(newcomers, await settleNewcomers(step, chunks, undefined));
  }
  if (context.signal.aborted) throw context.signal.reason;
  return outcomeOf(context.run, context.tally.undo ?? NO_UNDO, conflicts, notes, newcomers);
}

/**
 * Rolls single documents back; the run stays in its state.
 *
 * @throws GodwitError GODWIT_DOCUMENT_UNKNOWN when the run changed none of them
 */
export async function rollBackOnly(
  facts: RunFacts,
  run: RunDocument,
  ids: readonly unknown[],
  options: RollbackOptions & { readonly dryRun: boolean },
): Promise<RollbackOutcome> {
  const found: UndoBatch[] = [];
  const undoAll = async (context: RunContext, session: ClientSession | undefined): Promise<void> => {
    for (const index of placesLeft(run).reverse()) {
      const step = await stepContext(facts, context, index);
      for (const id of ids) {
        const undone = await undoOnly(step, id, options.onConflict, session);
        if (undone) found.push(undone);
      }
    }
  };
  if (options.dryRun) await undoAll(lookingContext(facts, run), undefined);
  else await withLease(facts, run, Number.POSITIVE_INFINITY, (context, sessions) => undoAll(context, sessions[0]));
  if (found.length === 0)
    throw new GodwitError(
      'GODWIT_DOCUMENT_UNKNOWN',
      `wanted a document that ${run.migration} changed, found no audit entry of it`,
      {
        next: [`godwit audit ${run.migration} --doc ID`],
      },
    );
  return {
    run,
    counters: found.reduce((sum, { counters }) => addUndo(sum, counters), NO_UNDO),
    conflicts: found.flatMap(({ conflicts }) => conflicts),
    notes: found.flatMap(({ notes }) => notes),
    newcomers: NO_NEWCOMERS,
  };
}

/**
 * Overwrites, in a run that is rolled back, what its rollback has left in conflict, and nothing else.
 *
 * @returns what was done with these; what the rollback had done before, where it has left none
 */
export async function forceLeft(facts: RunFacts, run: RunDocument, dryRun: boolean): Promise<RollbackOutcome> {
  const before = await storedOutcome(facts, run);
  const left = before.conflicts.filter(({ because }) => because !== OVERWRITTEN);
  if (left.length === 0) return before;
  const byKey = new Map(left.map(({ id }) => [keyOf(id), id]));
  return rollBackOnly(facts, run, [...byKey.values()], { onConflict: 'force', dryRun });
}

/** A context for looking only: without a lease. */
export const lookingContext = (facts: RunFacts, run: RunDocument): RunContext => ({
  ...facts,
  run,
  fence: '',
  locate: locateIn(facts.loaded),
  tally: Tally.fresh(0),
  watch: NO_WATCH,
  threads: NO_THREADS,
  activity: new Activity(),
  gate: OPEN_GATE,
  stop: () => undefined,
});
