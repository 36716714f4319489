/**
 * After the chunks and the catch-up: a look at every document, which is the run's verification. What it finds goes
 * through the same pipeline. With a change stream one pass is enough, since whatever it finds was written after it was
 * caught up with; without one, passes go on until one finds nothing.
 */
import type { ClientSession } from 'mongodb';
import type { DocumentUnit } from '../domain/series-step.js';
import { typedId } from '../domain/stored-document.js';
import { GodwitError } from '../errors.js';
import { listChunks } from '../mongo/chunks.js';
import { quarantinedKeys } from '../mongo/failures.js';
import type { Written } from './assign-sources.js';
import { runWritten } from './drain.js';
import { type InspectFacts, inspectStep } from './inspect.js';
import { inspectSources } from './inspect-merge.js';
import { mergedFor } from './legacy.js';
import { factsOf, rowsOf } from './merge-source.js';
import { patiently } from './patiently.js';
import { mayGoOn } from './run-chunk.js';
import { readFrom, type StepContext } from './run-context.js';

/** Passes before the run says that the application keeps writing. */
const MAX_PASSES = 10;

async function inspectFacts(context: StepContext, step: DocumentUnit): Promise<Omit<InspectFacts, 'isFull'>> {
  const chunks = await listChunks(context.state, context.run._id);
  return {
    db: context.db,
    state: context.state,
    run: context.run._id,
    step,
    from: readFrom(context),
    chunks: chunks.filter((chunk) => chunk.step === context.stepIndex),
    locate: context.locate,
    transformTimeoutMs: context.settings.transformTimeoutMs,
    ...mergedFor(context, step),
  };
}

interface Look {
  readonly checked: number;
  readonly strays: readonly Written[];
}

/** Documents that are not as the run would leave them, portion by portion. */
async function* look(context: StepContext, isFull: boolean): AsyncGenerator<Look> {
  const { state, run, step, stepIndex } = context;
  if (step.kind === 'script' || step.kind === 'given') return;
  if (step.kind === 'merge') {
    const quarantined = await quarantinedKeys(state, run._id, stepIndex);
    yield* inspectSources({ ...factsOf(context, step), state, of: rowsOf(context), quarantined });
    return;
  }
  for await (const found of inspectStep({ ...(await inspectFacts(context, step)), isFull }, stepIndex)) {
    const strays = found.strays.map((decision) => ({
      id: typedId(decision.kind === 'changed' ? decision.change.before : decision.document),
    }));
    yield { checked: found.checked, strays };
  }
}

/** One pass over everything. @returns how many documents had to be taken through the pipeline */
async function pass(context: StepContext, session: ClientSession, isFull: boolean): Promise<number> {
  let count = 0;
  let checked = 0;
  for await (const found of look(context, isFull)) {
    checked += found.checked;
    context.events.emit('run:verify', { run: context.run._id, checked, total: context.run.total });
    if (!mayGoOn(context)) break;
    if (found.strays.length === 0) continue;
    count += found.strays.length;
    await runWritten(context, found.strays, session);
  }
  return count;
}

export interface SettleOptions {
  /** The change stream has told of everything that was written. */
  readonly isExact: boolean;
  /** Run the transform on documents that are as the run left them, too: what they looked up may have changed. */
  readonly isFull: boolean;
}

/** Passes until the run may be called complete; returns early when it may not go on. */
export async function settleStrays(
  context: StepContext,
  session: ClientSession,
  options: SettleOptions,
): Promise<void> {
  for (let count = 0; count < MAX_PASSES; count += 1) {
    const strays = await patiently(context, () => pass(context, session, options.isFull));
    if (context.signal.aborted) throw context.signal.reason;
    if (strays === 0 || options.isExact || !mayGoOn(context)) return;
    const note = `${strays} documents were written in the old shape meanwhile; looking again`;
    context.events.emit('run:note', { run: context.run._id, note });
  }
  throw new GodwitError(
    'GODWIT_STILL_WRITTEN',
    `wanted a pass over ${context.step.collection} that finds nothing to change, found none in ${MAX_PASSES}`,
    {
      next: [
        'deploy the application that writes the new shape',
        `godwit run ${context.run.migration}   goes on from here`,
      ],
    },
  );
}
