/** Takes what the application wrote while a run went on through the pipeline, in rounds. */
import type { ClientSession } from 'mongodb';
import { pause } from '../kernel/retry.js';
import { idsChunk } from '../mongo/chunks.js';
import { assignSources, type Written } from './assign-sources.js';
import type { CatchUp } from './catch-up.js';
import { mayGoOn, runIds } from './run-chunk.js';
import type { StepContext } from './run-context.js';

/** Takes the touched documents of a step through the pipeline. */
const catchUpWith = (catchUp: CatchUp, step: StepContext, session: ClientSession): Promise<number> =>
  catchUp.drain(step, async (touched) => {
    const ids = touched.map(({ id }) => id);
    await catchUp.touchReaders(step, ids);
    await runWritten(step, touched, session);
    await catchUp.touchReaders(step, ids);
    return mayGoOn(step);
  });

/** Takes documents that were written through the pipeline: of a merge, the canonical ones that they belong to. */
export async function runWritten(
  context: StepContext,
  written: readonly Written[],
  session: ClientSession,
): Promise<void> {
  const { step } = context;
  const ids =
    step.kind === 'merge' ? await assignSources(context, step, written, session) : written.map(({ id }) => id);
  const chunk = await idsChunk(context.state, context.run._id, context.stepIndex, 'late', context.fence);
  await runIds(context, chunk, ids, session);
}

/** Rounds of catching up before the look at everything: each meets only what was written during the one before. */
const MAX_ROUNDS = 5;

/**
 * Takes everything that was touched until now through the pipeline. Ends beside an application that never rests: what
 * it writes after the last round begins is after the run.
 *
 * @returns false when the stream can't tell what was touched
 */
export async function drainUntilQuiet(
  catchUp: CatchUp,
  steps: readonly StepContext[],
  session: ClientSession,
): Promise<boolean> {
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    if (!(await catchUp.arrive())) return false;
    let count = 0;
    for (const step of steps) count += await catchUpWith(catchUp, step, session);
    if (count === 0) break;
  }
  return catchUp.lostBecause === null;
}

/** How often a following run looks for what was written, in ms. */
const FOLLOW_MS = 250;

/**
 * Goes on catching up, so that an application of the old version can keep writing: until the run is to stop, or the
 * stream can't tell any more.
 */
export async function follow(catchUp: CatchUp, steps: readonly StepContext[], session: ClientSession): Promise<void> {
  const [first] = steps;
  let total = 0;
  while (first && mayGoOn(first)) {
    const startedAt = performance.now();
    if (!(await catchUp.arrive())) return;
    let count = 0;
    for (const step of steps) count += await catchUpWith(catchUp, step, session);
    total += count;
    const lagMs = performance.now() - startedAt;
    first.events.emit('run:follow', { run: first.run._id, lagMs, caughtUp: total });
    await pause(FOLLOW_MS, first.signal);
  }
}
