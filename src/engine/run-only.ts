/** `--only`: single documents of a step, ahead of their range or behind it. */
import type { ClientSession } from 'mongodb';
import { type Chunk, chunksOfStep, passedRange, rangeFilter } from '../domain/chunk.js';
import { idsChunk } from '../mongo/chunks.js';
import { readBatch } from '../mongo/read-batch.js';
import type { CatchUp } from './catch-up.js';
import { runIds } from './run-chunk.js';
import { readFrom, type StepContext } from './run-context.js';

/** True when the plan's ranges have passed the document by now: asked of the server, whose collation counts. */
async function isPassed(context: StepContext, ranges: readonly Chunk[], id: unknown): Promise<boolean> {
  for (const chunk of ranges) {
    const passed = passedRange(chunk);
    const range = passed && rangeFilter(passed, null);
    if (!range) continue;
    const filter = { $and: [{ _id: { $eq: id } }, range] };
    const read = await readBatch(readFrom(context), filter, { limit: 1, maxBytes: 1, idsOnly: true });
    if (read.documents.length > 0) return true;
  }
  return false;
}

export async function runOnly(
  context: StepContext,
  chunks: readonly Chunk[],
  ids: readonly unknown[],
  { session, catchUp }: { readonly session: ClientSession; readonly catchUp: CatchUp },
): Promise<void> {
  const { state, run, stepIndex, fence } = context;
  const { ranges } = chunksOfStep(chunks, stepIndex);
  await catchUp.touch(context, ids);
  for (const id of ids) {
    const when = (await isPassed(context, ranges, id)) ? 'late' : 'early';
    await runIds(context, await idsChunk(state, run._id, stepIndex, when, fence), [id], session);
  }
}
