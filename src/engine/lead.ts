/**
 * What comes before the documents of a run: its first schema steps, and the plan that is made behind them. And what
 * comes after them on the way back. Both change which collections there are, so nobody watches over these meanwhile.
 */
import type { RunDocument } from '../domain/run.js';
import { isGodwitError } from '../errors.js';
import { isUnplanned, type PlanFacts, planDocuments } from './plan-run.js';
import { Recorder } from './recorder.js';
import { rollbackUnderWay } from './refusals.js';
import { SchemaWork } from './schema-work.js';
import { type RunFacts, withLease } from './with-lease.js';

/** True for a run that begins with schema steps. */
export const hasLead = ({ schema = [] }: Pick<RunDocument, 'schema'>): boolean => schema.some(({ at }) => at === 0);

/** True for a rollback under way whose documents are through: the collections of its first schema steps may be gone. */
export const isLeavingGround = ({ state: now, schema = [] }: Pick<RunDocument, 'state' | 'schema'>): boolean =>
  now !== 'rolled-back' &&
  schema.some(({ at, state, left }) => at === 0 && left === null && (state === 'undoing' || state === 'undone'));

/** Collections that the run had made and its rollback has dropped: there is nothing left in them to be taken back. */
export const goneCollections = ({ schema = [] }: Pick<RunDocument, 'schema'>): ReadonlySet<string> =>
  new Set(
    schema
      .filter(({ kind, state, left }) => kind === 'createCollection' && state === 'undone' && left === null)
      .map(({ collection }) => collection),
  );

/** Places of the plan's steps whose collections are there. */
export function placesLeft(run: Pick<RunDocument, 'steps' | 'schema'>): number[] {
  const gone = goneCollections(run);
  return run.steps.flatMap(({ collection }, index) => (gone.has(collection) ? [] : [index]));
}

/**
 * Does the first schema steps of a run and plans its documents, where that is to be done.
 *
 * @param planFacts asked for when there is something to be planned
 * @returns the run with its plan, or as it came to rest before that
 */
export async function leadIn(
  facts: RunFacts,
  run: RunDocument,
  planFacts: () => Promise<PlanFacts>,
): Promise<RunDocument> {
  if (!isUnplanned(facts.loaded, run)) return run;
  return withLease(facts, run, Number.POSITIVE_INFINITY, async (context) => {
    if (context.run.direction === 'down') throw rollbackUnderWay(context.run);
    if (!isUnplanned(facts.loaded, context.run)) return;
    try {
      await new SchemaWork(facts, context).forwards(0);
      if (context.signal.aborted) throw context.signal.reason;
      await planDocuments(await planFacts(), context.run, context.fence);
    } catch (error) {
      // A run that has come to rest here before does so in the state that it has.
      if (context.run.state === 'planned') await new Recorder(context, 'up').settle(error);
      else if (!isStop(error)) throw error;
    }
  });
}

const isStop = (error: unknown): boolean =>
  isGodwitError(error) && (error.code === 'GODWIT_INTERRUPTED' || error.code === 'GODWIT_STOPPED');

/** Takes the first schema steps back, behind everything else, and ends the rollback. */
export async function leadOut(facts: RunFacts, run: RunDocument): Promise<RunDocument> {
  if (!hasLead(run)) return run;
  return withLease({ ...facts, isUnwatched: true }, run, 0, async (context) => {
    if (context.run.state === 'rolled-back') return;
    const recorder = new Recorder(context, 'down');
    try {
      if (context.run.state !== 'rolling-back') await recorder.go('rolling-back', 'rollback asked for');
      await new SchemaWork(facts, context).backwards(0);
      await recorder.go('rolled-back', 'every audit entry is through');
    } catch (error) {
      await recorder.settle(error);
    }
  });
}
