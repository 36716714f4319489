/** Where the batches of a transform and of a pipeline differ: how they are written, and how what fails gets its name. */
import type { ClientSession } from 'mongodb';
import type { JournaledBatch } from '../domain/batch.js';
import { typedId } from '../domain/stored-document.js';
import { GodwitError } from '../errors.js';
import { unmarkDocument } from '../mongo/lock-first.js';
import { pastMark } from '../mongo/lock-mark.js';
import { readBatch } from '../mongo/read-batch.js';
import { writeBatch, writeByPipeline } from '../mongo/write-batch.js';
import type { PipelineFailed } from './apply-pipeline.js';
import type { Effort } from './effort.js';
import { evaluate, evaluationOf } from './evaluate.js';
import { readFrom, type StepContext } from './run-context.js';

/**
 * Asks, outside of the transaction that is over, on which documents the pipeline fails.
 *
 * @returns null when they are known by now; else what is to be made of it
 */
export async function nameFailing(context: StepContext, effort: Effort, failed: PipelineFailed): Promise<unknown> {
  const { step } = context;
  if (step.kind !== 'pipeline') return failed;
  try {
    const known = effort.refused.size;
    for (const decision of await evaluate(evaluationOf(context, step), failed.documents))
      if (decision.kind === 'failed') effort.refused.set(decision.document.key, decision.failure);
    return effort.refused.size > known ? null : failed;
  } catch (error) {
    return error;
  }
}

/** The first batch of a chunk is read back: what was evaluated is what the update has written. */
async function requireAsEvaluated(
  context: StepContext,
  { changes }: JournaledBatch,
  session: ClientSession,
): Promise<void> {
  const filter = { _id: { $in: changes.map(({ before }) => typedId(before)) } };
  const limits = { limit: changes.length + 1, maxBytes: Number.POSITIVE_INFINITY, session };
  const read = changes.length === 0 ? [] : (await readBatch(readFrom(context), filter, limits)).documents;
  const found = new Map(read.map(({ key, bytes }) => [key, bytes]));
  const other = changes.filter(({ before, after }) => !found.get(before.key)?.equals(after)).length;
  if (other === 0) return;
  throw new GodwitError(
    'GODWIT_NOT_DETERMINISTIC',
    `wanted the pipeline to write what it gave when it was evaluated, found ${other} documents of ${changes.length} otherwise`,
    { next: ['leave out of it what differs each time', `godwit run ${context.run.migration} --dry-run`] },
  );
}

interface WriteHow {
  readonly session: ClientSession;
  /** One statement a document, to learn which one is refused. */
  readonly isSingle: boolean;
  /** The document that was locked first, and is marked. */
  readonly hot: { readonly id: unknown } | null;
  readonly isFirst: boolean;
}

/** The last statements of a batch; its documents are held from here to the commit. */
export async function writeChanges(context: StepContext, batch: JournaledBatch, how: WriteHow): Promise<void> {
  const { step, target } = context;
  const { session, hot } = how;
  if (step.kind !== 'pipeline') await writeBatch(target, batch, how);
  else await writeByPipeline(target, batch, pastMark(step.update, hot !== null), how);
  if (hot) await unmarkDocument(target, hot.id, session);
  if (step.kind === 'pipeline' && how.isFirst) await requireAsEvaluated(context, batch, session);
}
