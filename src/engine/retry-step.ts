/** `retry`: the quarantined documents of a step go through the pipeline again, as they are in the collection now. */
import type { ClientSession } from 'mongodb';
import { type Chunk, IDS_CHUNK, type When } from '../domain/chunk.js';
import { keyOf } from '../domain/stored-document.js';
import { chunkId, idsChunk, recount } from '../mongo/chunks.js';
import { forgetFailure, listQuarantined, type Quarantined } from '../mongo/failures.js';
import { readMembers } from '../mongo/id-map.js';
import { bothFilters, readBatch } from '../mongo/read-batch.js';
import { inTransaction } from '../mongo/transaction.js';
import { assignSources } from './assign-sources.js';
import type { CatchUp } from './catch-up.js';
import { leaseLost } from './doubt.js';
import { rowsOf } from './merge-source.js';
import { runIds } from './run-chunk.js';
import { commitPatience, readFrom, type StepContext } from './run-context.js';

/** Keys of those that are still there and still chosen. Of a merge all are: they may be yet to be inserted. */
async function present(context: StepContext, ids: readonly unknown[]): Promise<Set<string>> {
  if (context.step.kind === 'merge') return new Set(ids.map(keyOf));
  const filter = bothFilters({ _id: { $in: ids } }, context.step.filter);
  const read = await readBatch(readFrom(context), filter, {
    limit: ids.length + 1,
    maxBytes: Number.POSITIVE_INFINITY,
    idsOnly: true,
  });
  return new Set(read.documents.map(({ key }) => key));
}

/** A document that is gone is neither scanned nor failed any more. */
async function forget(context: StepContext, chunk: Chunk, entry: string, session: ClientSession): Promise<void> {
  await inTransaction(
    session,
    async () => {
      await forgetFailure(context.state, entry, session);
      if (!(await recount(context.state, chunk._id, context.fence, { scanned: -1, failed: -1 }, session)))
        throw leaseLost(context.run.migration);
    },
    commitPatience(context, session),
  );
  context.tally.forgetFailed();
}

/**
 * The source documents of these canonical ones: what they have in common with others may be known by now.
 *
 * @returns canonical documents that they belong to instead
 */
async function assignAgain(
  context: StepContext,
  canonicals: readonly unknown[],
  session: ClientSession,
): Promise<unknown[]> {
  const { step, state } = context;
  if (step.kind !== 'merge') return [];
  const written = (await readMembers(state, rowsOf(context), canonicals)).map(({ from, id }) => ({ from, id }));
  const known = new Set(canonicals.map(keyOf));
  return (await assignSources(context, step, written, session)).filter((id) => !known.has(keyOf(id)));
}

export async function retryStep(context: StepContext, session: ClientSession, catchUp: CatchUp): Promise<void> {
  const { state, run, stepIndex } = context;
  // It is run once more as a whole.
  if (context.step.kind === 'script') return;
  const quarantined = await listQuarantined(state, run._id, stepIndex);
  await catchUp.touch(
    context,
    quarantined.map(({ id }) => id),
  );
  const early = chunkId(run._id, stepIndex, IDS_CHUNK.early);
  // A document that `--only` failed at is met by its range after it, all others were.
  await retryPortions(
    context,
    'early',
    quarantined.filter(({ chunk }) => chunk === early),
    session,
  );
  await retryPortions(
    context,
    'late',
    quarantined.filter(({ chunk }) => chunk !== early),
    session,
  );
}

async function retryPortions(
  context: StepContext,
  when: When,
  quarantined: readonly Quarantined[],
  session: ClientSession,
): Promise<void> {
  const { batchSize } = context.settings;
  const chunkNow = (): Promise<Chunk> =>
    idsChunk(context.state, context.run._id, context.stepIndex, when, context.fence);
  for (let at = 0; at < quarantined.length && !context.signal.aborted; at += batchSize) {
    const portion = quarantined.slice(at, at + batchSize);
    const there = await present(
      context,
      portion.map(({ id }) => id),
    );
    const chunk = await chunkNow();
    for (const { entry, key } of portion) if (!there.has(key)) await forget(context, chunk, entry, session);
    const ids = portion.filter(({ key }) => there.has(key)).map(({ id }) => id);
    const others = await assignAgain(context, ids, session);
    await runIds(context, await chunkNow(), ids, session, 'all');
    await runIds(context, await chunkNow(), others, session);
  }
}
