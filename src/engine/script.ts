/**
 * Runs a script: its helpers take documents through the pipeline of all other steps, into the place that its collection
 * has in the plan. A script that was stopped begins anew. One chunk without documents says that it has come to its end.
 */
import type { ClientSession } from 'mongodb';
import { type Chunk, type Counters, coveringRanges, writtenOf } from '../domain/chunk.js';
import type { ReadOnlyDb } from '../domain/migration.js';
import { insertStep } from '../domain/script-helpers.js';
import type { HelperStep, ScriptPart, ScriptResult } from '../domain/script-step.js';
import { keyOf, typedId } from '../domain/stored-document.js';
import { idsChunk } from '../mongo/chunks.js';
import { readOnlyDb } from '../mongo/read-only-db.js';
import { patiently } from './patiently.js';
import { runBatch } from './run-batch.js';
import { mayGoOn, runIds } from './run-chunk.js';
import { readFrom, type StepContext } from './run-context.js';
import { callScript, type Helper, scriptError } from './script-context.js';
import type { Source } from './source.js';
import { NO_THREADS } from './transform-threads.js';
import { walk } from './walk.js';

/** Ends the script where the run may not go on; its author has nothing to catch it for. */
class AtRest extends Error {}

const NOTHING: Source = {
  closesChunk: true,
  counts: 'all',
  read: async () => ({ documents: [], hasMore: false }),
};

/** `_id`s of the documents that a helper is about, in portions. */
async function* idsFor(context: StepContext, step: HelperStep): AsyncGenerator<readonly unknown[]> {
  if (step.kind === 'given' && step.insert) {
    yield [...step.insert.values()].map(typedId);
    return;
  }
  const portion = { limit: context.settings.batchSize, maxBytes: context.settings.maxBatchBytes, idsOnly: true };
  const from = readFrom(context);
  for (const range of coveringRanges([]))
    for await (const documents of walk(from, range, portion, step.filter, (work) => patiently(context, work)))
      yield documents.map(typedId);
}

/** A server that does not answer is waited for, as everywhere. */
function patientDb(context: StepContext): ReadOnlyDb {
  const { find, count, distinct, aggregate } = readOnlyDb(context.db, 'typed');
  return {
    find: (...asked) => patiently(context, () => find(...asked)),
    count: (...asked) => patiently(context, () => count(...asked)),
    distinct: (...asked) => patiently(context, () => distinct(...asked)),
    aggregate: (...asked) => patiently(context, () => aggregate(...asked)),
  };
}

const resultOf = (before: Counters, after: Counters): ScriptResult => ({
  scanned: after.scanned - before.scanned,
  written: writtenOf(after) - writtenOf(before),
});

/** A collection of the script, with the keys of documents on which a helper has failed: they go no further. */
interface Place {
  readonly context: StepContext;
  readonly failed: Set<string>;
}

async function carryOut({ context, failed }: Place, step: HelperStep, session: ClientSession): Promise<ScriptResult> {
  const { state, run, stepIndex, fence, tally, signal } = context;
  const before = tally.counters;
  // Threads know the migration's steps, and these are none.
  const own: StepContext = { ...context, step, threads: NO_THREADS };
  for await (const ids of idsFor(own, step)) {
    const open = ids.filter((id) => !failed.has(keyOf(id)));
    const chunk = await patiently(context, () => idsChunk(state, run._id, stepIndex, 'late', fence));
    await runIds(own, chunk, open, session, 'all', (batch) => {
      for (const { document } of batch.failed) failed.add(document.key);
    });
    if (signal.aborted) throw signal.reason;
    if (!mayGoOn(context)) throw new AtRest();
  }
  return resultOf(before, tally.counters);
}

/**
 * @param parts the places of the script's collections in the plan
 * @param marker the chunk that says that it has come to its end
 */
export async function runScript(
  parts: readonly StepContext[],
  { script }: ScriptPart,
  marker: Chunk | undefined,
  session: ClientSession,
): Promise<void> {
  const [lead] = parts;
  if (!lead || !mayGoOn(lead)) return;
  const places = parts.map((context): Place => ({ context, failed: new Set() }));
  const helper: Helper = (step) => {
    const place = places.find(({ context }) => context.step.collection === step.collection);
    if (!place) throw new RangeError(`no place in the plan for ${step.collection}`);
    return carryOut(place, step, session);
  };
  try {
    await callScript(script, { db: patientDb(lead), scope: lead.run.migration }, helper);
  } catch (error) {
    if (lead.signal.aborted) throw lead.signal.reason;
    if (!mayGoOn(lead)) return;
    throw scriptError(error, lead.locate);
  }
  if (lead.signal.aborted) throw lead.signal.reason;
  if (!mayGoOn(lead) || marker?.state !== 'open') return;
  const nothing = insertStep(lead.step.collection, new Map());
  await runBatch({ ...lead, step: nothing }, { ...marker, fence: lead.fence }, NOTHING, session);
}
