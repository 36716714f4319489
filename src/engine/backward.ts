/**
 * The work of a rollback under its lease: the batches backwards, then what came later and has no before image, then
 * what the application wrote in the new shape while it went on.
 */
import type { ClientSession } from 'mongodb';
import {
  addUndo,
  type Chunk,
  chunksOfStep,
  NO_UNDO,
  sumOfCounters,
  type UndoConflict,
  type UndoCounters,
  undoTotal,
  writtenOf,
} from '../domain/chunk.js';
import { addNewcomers, NO_NEWCOMERS } from '../domain/newcomers.js';
import { isSpent } from '../domain/run.js';
import { keyOf } from '../domain/stored-document.js';
import { OVERWRITTEN } from '../domain/undo.js';
import { clusterTime } from '../mongo/changes.js';
import { listChunks, resetUndo } from '../mongo/chunks.js';
import { dropRows } from '../mongo/id-map-writes.js';
import { storeFindings, storeUndoStream } from '../mongo/runs.js';
import { CatchUp } from './catch-up.js';
import { throughGate } from './gate.js';
import { hasLead, placesLeft } from './lead.js';
import { settleNewcomers } from './newcomers.js';
import { patiently } from './patiently.js';
import type { Recorder } from './recorder.js';
import { requireChunks, stepContext } from './run.js';
import type { RunContext, StepContext } from './run-context.js';
import { SchemaWork } from './schema-work.js';
import { nextUndo, undoBatch } from './undo-batch.js';
import { undoOnly } from './undo-single.js';
import { watchOver } from './watchdog.js';
import type { RunFacts } from './with-lease.js';
import { shareOut } from './workers.js';

export interface RollbackOptions {
  readonly onConflict: 'report' | 'force';
}

/** Documents listed that were written in the new shape meanwhile. */
const MAX_REWRITTEN = 1_000;

/** Late documents first, early ones last; ranges are independent of each other. */
export function inOrder(chunks: readonly Chunk[], step: number): readonly (readonly Chunk[])[] {
  const { early, ranges, late } = chunksOfStep(chunks, step);
  return [late, ranges, early];
}

export const sumOfUndo = (chunks: readonly Chunk[]): UndoCounters =>
  chunks.reduce((sum, { undo }) => (undo ? addUndo(sum, undo.counters) : sum), NO_UNDO);

const isUndone = (chunk: Chunk): boolean => chunk.undo?.done === true || nextUndo(chunk) === 0;

export class Backward {
  constructor(
    private readonly facts: RunFacts,
    private readonly context: RunContext,
    private readonly sessions: readonly ClientSession[],
    private readonly options: RollbackOptions,
    private readonly recorder: Recorder,
  ) {}

  async work(): Promise<void> {
    const { context, recorder } = this;
    const { state, run, fence } = context;
    await recorder.noteDeadRunner();
    // What a restored state says of batches that are undone may not be so of the target.
    const isAnew = isSpent(run.state);
    if (isAnew) await resetUndo(state, run._id, fence);
    const undoStream = (!isAnew && run.undoStream) || {
      since: await clusterTime(context.db),
      token: null,
      isLost: false,
    };
    await storeUndoStream(state, run._id, fence, undoStream);
    await recorder.go('rolling-back', 'rollback asked for');
    context.gate.begin(async () => undefined);
    const chunks = await patiently(context, () => requireChunks(context));
    // The runner that died may have stored older figures than its chunks have.
    context.tally.counters = sumOfCounters(chunks);
    context.tally.undo = sumOfUndo(chunks);
    const steps: StepContext[] = [];
    for (const index of placesLeft(run))
      steps.unshift(await patiently(context, () => stepContext(this.facts, context, index)));
    const catchUp = CatchUp.start({ ...context, run: { ...run, undoStream } }, steps, 'undoStream');
    try {
      await this.#undoSteps(steps, chunks, new SchemaWork(this.facts, context));
      await this.#settle(steps, catchUp);
    } finally {
      await catchUp.close();
    }
    if (run.steps.some(({ sources }) => sources)) await patiently(context, () => dropRows(state, run._id));
    if (!hasLead(run)) await recorder.end('rolled-back', 'every audit entry is through');
  }

  async #undoSteps(steps: readonly StepContext[], chunks: readonly Chunk[], schema: SchemaWork): Promise<void> {
    const { context, recorder } = this;
    const store = (): void => recorder.storeNowAndThen();
    context.events.on('run:undo', store);
    try {
      if (steps.length > 0) await schema.backwards(steps.length);
      for (const step of steps) {
        for (const group of inOrder(chunks, step.stepIndex)) await watchOver(context, () => this.#share(group, step));
        if (context.signal.aborted) throw context.signal.reason;
        // Those before all documents go last, when nothing looks at these any more.
        if (step.stepIndex > 0) await schema.backwards(step.stepIndex);
      }
    } finally {
      context.events.off('run:undo', store);
      await recorder.idle();
    }
  }

  #share(chunks: readonly Chunk[], step: StepContext): Promise<void> {
    return shareOut(chunks, {
      ...step,
      sessions: this.sessions,
      work: (chunk, session, signal, mayWork) => this.#undoChunk({ ...step, signal }, chunk, session, mayWork),
    });
  }

  /** @returns the chunk, when it is left to another worker */
  async #undoChunk(
    context: StepContext,
    chunk: Chunk,
    session: ClientSession,
    mayWork: () => boolean,
  ): Promise<Chunk | undefined> {
    let current: Chunk = { ...chunk, fence: context.fence };
    while (!isUndone(current) && !context.signal.aborted && mayWork()) {
      const outcome = await throughGate(
        context,
        context.settings.batchSize,
        () => undoBatch(context, current, this.options.onConflict, session),
        ({ undone }) => [undoTotal(undone.counters)],
      );
      current = outcome.chunk;
      context.tally.addUndo(outcome.undone.counters, outcome.redone);
      context.events.emit('run:undo', {
        run: context.run._id,
        undo: context.tally.undo ?? NO_UNDO,
        total: writtenOf(context.run.counters),
      });
    }
    return isUndone(current) || context.signal.aborted ? undefined : current;
  }

  /** What has no before image, and what was written in the new shape meanwhile. */
  async #settle(steps: readonly StepContext[], catchUp: CatchUp): Promise<void> {
    const { state, run, fence } = this.context;
    const isKnown = await catchUp.arrive();
    let newcomers = isKnown ? NO_NEWCOMERS : { ...NO_NEWCOMERS, isSure: false };
    const rewritten: UndoConflict[] = [];
    for (const step of steps) {
      newcomers = addNewcomers(
        newcomers,
        await patiently(step, async () => settleNewcomers(step, await listChunks(state, run._id), this.sessions[0])),
      );
      await catchUp.drain(step, async (touched) => {
        const own = touched.filter(({ from }) => from === undefined);
        for (const { id } of own) rewritten.push(...(await this.#lookAgain(step, id)));
        return !step.signal.aborted;
      });
    }
    if (this.context.signal.aborted) throw this.context.signal.reason;
    const earlier = isSpent(run.state) ? [] : run.rewritten;
    const kept = new Map([...earlier, ...rewritten].map((one) => [`${one.collection}/${keyOf(one.id)}`, one]));
    const found = { newcomers, rewritten: [...kept.values()].slice(0, MAX_REWRITTEN) };
    await patiently(this.context, () => storeFindings(state, run._id, fence, found));
  }

  /**
   * A document that the application wrote after it had been taken back, with values of the run again (an old copy that
   * was saved whole, a new version that is still running). It is the application's write: kept and listed, unless
   * conflicts are to be overwritten.
   */
  async #lookAgain(step: StepContext, id: unknown): Promise<UndoConflict[]> {
    const seen = await undoOnly(step, id, 'report', undefined);
    const [restore] = seen?.restores ?? [];
    if (!restore) return [];
    const isForced = this.options.onConflict === 'force';
    if (isForced) await undoOnly(step, id, 'force', this.sessions[0]);
    const because = isForced ? OVERWRITTEN : 'written in the new shape while the rollback went on';
    const fields = [...restore.change.set.keys(), ...restore.change.unset];
    return [{ collection: step.step.collection, id, fields, because }];
  }
}
