/** Moves one chunk from its cursor to its end, batch by batch. */
import type { ClientSession } from 'mongodb';
import { typedId } from '../domain/change.js';
import type { Chunk } from '../domain/chunk.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import { faultPoint } from './fault-points.js';
import { type BatchOutcome, runBatch } from './run-batch.js';
import type { RunContext, StepContext } from './run-context.js';
import { type Counting, collectionSource, idsSource, Window } from './source.js';

export const readFrom = (context: StepContext): ReadFrom => ({
  db: context.db,
  collection: context.step.collection,
  uuid: context.uuid,
});

/** True while batches may be begun: not stopped, within the failure budget and the limit. */
export const mayGoOn = (context: RunContext): boolean =>
  !context.signal.aborted && !context.tally.isOverBudget && !context.tally.isAtLimit;

function report(context: StepContext, outcome: BatchOutcome): void {
  const { tally, run, events } = context;
  tally.addBatch(outcome.batch.counters, outcome.redone);
  events.emit('run:batch', {
    run: run._id,
    counters: tally.counters,
    total: run.total,
    batch: outcome.batch.counters,
    times: outcome.times,
  });
}

/** @returns the chunk as far as it came */
export async function runChunk(context: StepContext, chunk: Chunk, session: ClientSession): Promise<Chunk> {
  await faultPoint('chunk:after-claim');
  let current = chunk;
  const window = new Window();
  const { batchSize } = context.settings;
  let limit = batchSize;
  while (current.state === 'open' && mayGoOn(context)) {
    const source = collectionSource(readFrom(context), context.step.filter, current, window);
    const outcome = await runBatch(context, current, source, session, limit);
    // Near a hot document small pieces go on; behind it they grow again.
    limit = Math.min(batchSize, outcome.redone > 0 ? outcome.limit : 2 * outcome.limit);
    current = outcome.chunk;
    report(context, outcome);
  }
  return current;
}

/**
 * Takes single documents through the pipeline (`--only`, `retry`, and what verification found).
 *
 * @param counts what of them is counted
 * @returns the chunk after them
 */
export async function runIds(
  context: StepContext,
  chunk: Chunk,
  ids: readonly unknown[],
  session: ClientSession,
  counts: Counting = 'changes',
): Promise<Chunk> {
  let current = chunk;
  for (let from = 0; from < ids.length; from += context.settings.batchSize) {
    const wanted = ids.slice(from, from + context.settings.batchSize);
    const done: unknown[] = [];
    for (let isOpen = true; isOpen && mayGoOn(context); ) {
      const source = idsSource(readFrom(context), context.step.filter, wanted, { done, counts });
      const outcome = await runBatch(context, current, source, session);
      const { changes, untouched, failed, isLast } = outcome.batch;
      const taken = [...changes.map(({ before }) => before), ...untouched, ...failed.map(({ document }) => document)];
      done.push(...taken.map(typedId));
      current = outcome.chunk;
      isOpen = !isLast;
      report(context, outcome);
    }
  }
  return current;
}
