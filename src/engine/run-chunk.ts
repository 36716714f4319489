/** Moves one chunk from its cursor to its end, batch by batch. */
import type { ClientSession } from 'mongodb';
import type { DecidedBatch } from '../domain/batch.js';
import type { Chunk } from '../domain/chunk.js';
import { nextLimit } from '../domain/pace.js';
import { roundTimes } from '../domain/phases.js';
import { typedId } from '../domain/stored-document.js';
import type { BatchTimes } from '../events.js';
import { faultPoint } from './fault-points.js';
import { throughGate } from './gate.js';
import { givenSource } from './given.js';
import { mergeIdsSource, mergeSource } from './merge-source.js';
import { type BatchOutcome, runBatch } from './run-batch.js';
import { type RunContext, type RunSettings, readFrom, type StepContext } from './run-context.js';
import { type Counting, collectionSource, type IdsOptions, idsSource, type Source, Window } from './source.js';

/** True while batches may be begun: not stopped, within the failure budget and the limit. */
export const mayGoOn = (context: RunContext): boolean =>
  !context.signal.aborted && !context.tally.isOverBudget && !context.tally.isAtLimit;

function report(context: StepContext, outcome: TimedOutcome): void {
  const { tally, run, events } = context;
  tally.addBatch(outcome.batch.counters, outcome.redone);
  tally.phases.add(outcome.times);
  events.emit('run:batch', {
    run: run._id,
    counters: tally.counters,
    total: run.total,
    batch: outcome.batch.counters,
    times: outcome.times,
  });
}

/** With what it waited for before it began. */
type TimedOutcome = BatchOutcome & { readonly times: BatchTimes };

/** The next batch, at its time. @throws the reason of the stop, when it comes while the batch waits */
const nextBatch = (
  context: StepContext,
  chunk: Chunk,
  source: Source,
  session: ClientSession,
  limit: number,
): Promise<TimedOutcome> =>
  throughGate(
    context,
    limit,
    async (allowed, waitedMs) => {
      const outcome = await runBatch(context, chunk, source, session, allowed);
      return { ...outcome, times: roundTimes({ ...outcome.times, throttle: waitedMs }) };
    },
    ({ read, times }) => [read, times.commit],
  );

/** Near a hot document small pieces go on; behind it they grow again. */
function limitAfter(
  { batchSize, isAdaptive, targetMs }: RunSettings,
  { limit, read, redone, times }: BatchOutcome,
): number {
  if (redone > 0) return limit;
  if (isAdaptive) return nextLimit({ limit, read, holdMs: times.write + times.commit }, targetMs);
  return Math.min(batchSize, 2 * limit);
}

/**
 * @param mayWork false: the worker is one too many for now, and leaves the chunk to another one
 * @returns the chunk as far as it came
 */
export async function runChunk(
  context: StepContext,
  chunk: Chunk,
  session: ClientSession,
  mayWork: () => boolean,
): Promise<Chunk> {
  await faultPoint('chunk:after-claim');
  let current = chunk;
  const window = new Window();
  let limit = context.settings.batchSize;
  while (current.state === 'open' && mayGoOn(context) && mayWork()) {
    const { step } = context;
    const source =
      step.kind === 'merge'
        ? mergeSource(context, step, current)
        : collectionSource(readFrom(context), step.filter, current, window);
    const outcome = await nextBatch(context, current, source, session, limit);
    limit = limitAfter(context.settings, outcome);
    current = outcome.chunk;
    report(context, outcome);
  }
  return current;
}

function sourceOfIds(context: StepContext, ids: readonly unknown[], options: IdsOptions): Source {
  const { step } = context;
  if (step.kind === 'merge') return mergeIdsSource(context, step, ids, options);
  if (step.kind === 'given' && step.insert) return givenSource(context, step.insert, ids, options);
  return idsSource(readFrom(context), step.filter, ids, options);
}

/**
 * Takes single documents through the pipeline (`--only`, `retry`, and what verification found).
 *
 * @param counts what of them is counted
 * @param told what became of each batch
 * @returns the chunk after them
 */
export async function runIds(
  context: StepContext,
  chunk: Chunk,
  ids: readonly unknown[],
  session: ClientSession,
  counts: Counting = 'changes',
  told: (batch: DecidedBatch) => void = () => undefined,
): Promise<Chunk> {
  let current = chunk;
  for (let from = 0; from < ids.length; from += context.settings.batchSize) {
    const wanted = ids.slice(from, from + context.settings.batchSize);
    const done: unknown[] = [];
    for (let isOpen = true; isOpen && mayGoOn(context); ) {
      const source = sourceOfIds(context, wanted, { done, counts });
      const outcome = await nextBatch(context, current, source, session, context.settings.batchSize);
      told(outcome.batch);
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
