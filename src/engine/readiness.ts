/** How ready a run is to be rolled back, at any time: a small run is looked at whole, of a large one some batches. */
import { addUndo, type Chunk, NO_UNDO, type UndoCounters, undoTotal, writtenOf } from '../domain/chunk.js';
import type { RunDocument } from '../domain/run.js';
import { listChunks } from '../mongo/chunks.js';
import { Effort } from './effort.js';
import { lookingContext, rollBackDry } from './rollback.js';
import { stepContext } from './run.js';
import { decideUndoBatch, nextUndo } from './undo-batch.js';
import type { RunFacts } from './with-lease.js';

export interface Readiness {
  /** Documents of the run that were looked at, and that it has changed and not taken back yet. */
  readonly sampled: number;
  readonly of: number;
  /** What a rollback would do with those that were looked at, by the rows of its table. */
  readonly counters: UndoCounters;
  /** Documents without a before image: not counted where only a sample was looked at. */
  readonly noBefore: number | null;
}

/** Documents of a run that is looked at whole. */
const WHOLE_DOCUMENTS = 5_000;
/** Batches looked at of a larger one. */
const SAMPLED_BATCHES = 6;

/** Up to `count` batches that are not undone yet, spread evenly over all of them. */
function spread(chunks: readonly Chunk[], count: number): { readonly chunk: Chunk; readonly seq: number }[] {
  const batches = chunks.flatMap((chunk) =>
    Array.from({ length: nextUndo(chunk) }, (_, index) => ({ chunk, seq: index + 1 })),
  );
  const distance = Math.max(1, batches.length / count);
  return Array.from(
    { length: Math.min(count, batches.length) },
    (_, index) => batches[Math.floor(index * distance)],
  ).flatMap((batch) => batch ?? []);
}

async function sample(facts: RunFacts, run: RunDocument): Promise<UndoCounters> {
  const context = lookingContext(facts, run);
  let counters = NO_UNDO;
  for (const { chunk, seq } of spread(await listChunks(facts.state, run._id), SAMPLED_BATCHES)) {
    const step = await stepContext(facts, context, chunk.step);
    const undone = await decideUndoBatch(step, chunk, seq, { onConflict: 'report', effort: new Effort(1) });
    counters = addUndo(counters, undone.counters);
  }
  return counters;
}

/** Reads only. */
export async function readinessOf(facts: RunFacts, run: RunDocument): Promise<Readiness> {
  const { scanned } = run.counters;
  const of = writtenOf(run.counters);
  if (scanned > WHOLE_DOCUMENTS) {
    const counters = await sample(facts, run);
    return { sampled: undoTotal(counters), of, counters, noBefore: null };
  }
  const { counters, newcomers } = await rollBackDry(facts, run, { onConflict: 'report' });
  return { sampled: undoTotal(counters), of, counters, noBefore: newcomers.count };
}
