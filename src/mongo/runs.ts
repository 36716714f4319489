/** The `migrations` collection: one document per run. Every change of state is a compare-and-set on the old state. */
import type { Document, Filter, UpdateFilter } from 'mongodb';
import type { Counters, Cursor, UndoCounters } from '../domain/chunk.js';
import { splitPhaseId } from '../domain/expand-contract.js';
import type { PhaseTable } from '../domain/phases.js';
import {
  type Ground,
  isSpent,
  mayGo,
  type PlannedStep,
  type RunDocument,
  type RunState,
  type SchemaRecord,
  type StreamPlace,
} from '../domain/run.js';
import { GodwitError } from '../errors.js';
import { type State, underLease } from './state.js';

export const findCurrentRun = (state: State, migration: string): Promise<RunDocument | null> =>
  state.runs.findOne({ migration, current: true });

export const findRun = (state: State, run: string): Promise<RunDocument | null> => state.runs.findOne({ _id: run });

/** The same, unless the next one may take its place. */
export async function findStandingRun(state: State, migration: string): Promise<RunDocument | null> {
  const run = await findCurrentRun(state, migration);
  return run && !isSpent(run.state) ? run : null;
}

/** The runs that count, one per migration, oldest first. */
export const listCurrentRuns = (state: State): Promise<RunDocument[]> =>
  state.runs.find({ current: true }).sort({ startedAt: 1 }).toArray();

/** Something of it was done, or looked at. */
const HAS_BEGUN: Filter<RunDocument>[] = [
  { 'counters.scanned': { $gt: 0 } },
  { 'schema.state': { $in: ['begun', 'done', 'there'] } } as Filter<RunDocument>,
];

/** Runs that went forwards over what this migration has made, because they depend on it; the newest first. */
export function listDependants(state: State, migration: string): Promise<RunDocument[]> {
  const named = splitPhaseId(migration);
  const names = named?.phase === 'migrate' ? [migration, named.migration] : [migration];
  const filter = { current: true, direction: 'up', dependsOn: { $in: names }, $or: HAS_BEGUN } as const;
  return state.runs
    .find(filter as Filter<RunDocument>)
    .sort({ startedAt: -1 })
    .toArray();
}

/** Freezes the plan: before this insert there is no run, after it there is the whole one. Its times are the server's. */
export async function insertRun(state: State, run: RunDocument): Promise<void> {
  const { history, ...rest } = run;
  const times = { startedAt: '$$NOW', updatedAt: '$$NOW' };
  const planned = history.map(({ at: _, ...entry }) => ({ $mergeObjects: [{ $literal: entry }, { at: '$$NOW' }] }));
  await state.runs.updateOne(
    { _id: run._id },
    [{ $replaceWith: { $mergeObjects: [{ $literal: rest }, times, { history: planned }] } }],
    { upsert: true },
  );
}

/** Makes room for a new run of the migration; the old one stays on record. @returns false when the lease is lost */
export async function retireRun(state: State, run: string, fence: string): Promise<boolean> {
  return (await state.runs.updateOne(underLease(run, fence), { $set: { current: false } })).matchedCount === 1;
}

/** Closes a run that nobody can finish: it no longer counts, and says why. @returns false where it is not the current one */
export async function forgetRun(state: State, { _id, state: at }: RunDocument, note: Note): Promise<boolean> {
  const change = [{ $set: { current: false, lease: null, ...noted(at, at, note) } }];
  return (await state.runs.updateOne({ _id, current: true }, change)).matchedCount === 1;
}

/** Who did something to a run, and why. */
interface Note {
  readonly by: string;
  readonly because: string;
}

export interface TransitionFacts extends Note {
  readonly direction?: 'up' | 'down';
  /** Only while the lease has this fence. */
  readonly fence: string;
}

/** What goes on record, stamped by the server's clock. */
const noted = (from: RunState, to: RunState, { by, because }: Note): Document => {
  const entry = { from, to, at: '$$NOW', by: { $literal: by }, because: { $literal: because } };
  return { history: { $concatArrays: ['$history', [entry]] }, updatedAt: '$$NOW' };
};

/**
 * Moves the run along one edge, stamped by the server's clock.
 *
 * @throws GodwitError GODWIT_STATE_EDITED when the table has no such edge or the stored state is another one
 */
export async function transition(
  state: State,
  run: Pick<RunDocument, '_id' | 'migration'>,
  from: RunState,
  to: RunState,
  facts: TransitionFacts,
): Promise<void> {
  if (!mayGo(from, to))
    throw new GodwitError(
      'GODWIT_STATE_EDITED',
      `wanted to move run ${run._id} from ${from} to ${to}, found no such edge`,
    );
  const isEnd = to === 'completed' || to === 'rolled-back';
  const set: Document = {
    state: to,
    ...noted(from, to, facts),
    finishedAt: isEnd ? '$$NOW' : null,
    // What was asked of a run does not bind its rollback, nor the run after it.
    ...(isEnd ? { 'control.pause': null, 'control.pace': null } : {}),
    ...(facts.direction ? { direction: facts.direction } : {}),
  };
  const result = await state.runs.updateOne(underLease(run._id, facts.fence, { state: from }), [{ $set: set }]);
  if (result.matchedCount !== 1)
    throw new GodwitError(
      'GODWIT_STATE_EDITED',
      `wanted run ${run._id} of ${run.migration} in state ${from}, found it changed`,
      {
        next: [`godwit status ${run.migration}`],
      },
    );
}

/** Moves the run to the state `restored` and onto the ground that is there now. @returns false when the lease is lost */
export async function storeRestored(
  state: State,
  run: Pick<RunDocument, '_id' | 'state'>,
  ground: Ground,
  facts: TransitionFacts,
): Promise<boolean> {
  const result = await state.runs.updateOne(underLease(run._id, facts.fence, { state: run.state }), [
    {
      $set: {
        state: 'restored',
        ...noted(run.state, 'restored', facts),
        finishedAt: null,
        steps: { $literal: ground.steps },
        stateIds: ground.stateIds,
        server: { $literal: ground.server },
      },
    },
  ]);
  return result.matchedCount === 1;
}

export interface RunProgress {
  readonly counters: Counters;
  readonly undo: UndoCounters | null;
  readonly batches: number;
  readonly conflictsRetried: number;
  readonly resumeCursor: Cursor | null;
  readonly workedMs: number;
  readonly phases?: PhaseTable | null;
  readonly bottleneck?: string | null;
}

/** Writes the figures for people (about once a second, and at every stop); the truth is in the chunks. */
export async function storeProgress(state: State, run: string, fence: string, progress: RunProgress): Promise<void> {
  const { workedMs, conflictsRetried, ...rest } = progress;
  const update: UpdateFilter<RunDocument> = {
    $set: { ...rest },
    $inc: { workedMs: Math.round(workedMs), conflictsRetried },
    $currentDate: { updatedAt: true },
  };
  await state.runs.updateOne(underLease(run, fence), update);
}

/** Keeps what a rollback found, where the lease is ours: a second look must say the same. */
export async function storeFindings(
  state: State,
  run: string,
  fence: string,
  found: Pick<RunDocument, 'newcomers' | 'rewritten'>,
): Promise<void> {
  await state.runs.updateOne(underLease(run, fence), { $set: found });
}

/** Where a rollback's stream begins, where the lease is ours. */
export async function storeUndoStream(state: State, run: string, fence: string, place: StreamPlace): Promise<void> {
  await state.runs.updateOne(underLease(run, fence), { $set: { undoStream: place } });
}

/** Accepts a changed file of a run that has begun. */
export async function amendRun(
  state: State,
  run: RunDocument,
  accepted: Pick<RunDocument, 'checksum' | 'files'>,
  facts: Note,
): Promise<void> {
  await state.runs.updateOne({ _id: run._id }, [
    {
      $set: {
        checksum: accepted.checksum,
        files: { $literal: accepted.files },
        ...noted(run.state, run.state, facts),
      },
    },
  ]);
}

/** Says how far a schema step is; false when the lease is another's. */
export async function storeSchema(
  state: State,
  run: string,
  fence: string,
  index: number,
  record: SchemaRecord,
): Promise<boolean> {
  const update = { $set: { [`schema.${index}`]: record }, $currentDate: { updatedAt: true } } as Document;
  return (await state.runs.updateOne(underLease(run, fence), update)).matchedCount === 1;
}

/** Gives the run the plan of its documents; false when the lease is another's. */
export async function storePlan(
  state: State,
  run: string,
  fence: string,
  plan: { readonly steps: readonly PlannedStep[]; readonly total: number; readonly stream: StreamPlace },
): Promise<boolean> {
  const update = { $set: plan, $currentDate: { updatedAt: true } } as Document;
  return (await state.runs.updateOne(underLease(run, fence), update)).matchedCount === 1;
}
