/** The `migrations_chunks` collection: ranges, cursors, counters. A checkpoint is part of its batch's transaction. */
import type { ClientSession, Document, Filter } from 'mongodb';
import {
  addCounters,
  type Chunk,
  type ChunkUndo,
  type Counters,
  type Cursor,
  IDS_CHUNK,
  NO_COUNTERS,
  NO_UNDO,
  type When,
} from '../domain/chunk.js';
import { GodwitError } from '../errors.js';
import { STATE_FORMAT, type State } from './state.js';

export const chunkId = (run: string, step: number, n: number): string => `${run}/${step}/${n}`;

export async function insertChunks(state: State, chunks: readonly Chunk[]): Promise<void> {
  if (chunks.length > 0) await state.chunks.insertMany([...chunks]);
}

/** Chunks of a plan that never became a run. */
export async function dropChunks(state: State, run: string): Promise<void> {
  await state.chunks.deleteMany({ run });
}

/** How long a planner may take to insert its run after its chunks, in ms: longer than any lives. */
const STRANDED_MS = 24 * 3_600_000;

/**
 * Drops what planners left that died before their run was inserted.
 *
 * @returns runs that have batches, and whose own document is lost
 */
export async function dropStranded(state: State): Promise<readonly string[]> {
  const planned = await state.chunks.distinct('run');
  const known = new Set(await state.runs.distinct('_id', { _id: { $in: planned } }));
  const stranded = planned.filter((run) => !known.has(run));
  if (stranded.length === 0) return [];
  // With batches they are no plan, but what is left of a run whose own document was lost.
  const begun = await state.chunks.distinct('run', { run: { $in: stranded }, seq: { $gt: 0 } });
  const isOld = { $lt: ['$at', { $subtract: ['$$NOW', STRANDED_MS] }] };
  await state.chunks.deleteMany({ run: { $in: stranded, $nin: begun }, $expr: isOld });
  const left = new Set(await state.chunks.distinct('run', { run: { $in: stranded } }));
  await state.idMap.deleteMany({ run: { $in: stranded.filter((run) => !left.has(run)) } });
  return begun;
}

export const listChunks = (state: State, run: string): Promise<Chunk[]> =>
  state.chunks.find({ run }).sort({ step: 1, n: 1 }).toArray();

/** The first range that is not worked through, in the order of steps and `_id`s. */
export const firstOpenChunk = (state: State, run: string): Promise<Chunk | null> =>
  state.chunks.findOne({ run, state: 'open', kind: 'range' }, { sort: { step: 1, n: 1 } });

/**
 * A chunk that takes single documents.
 *
 * @throws GodwitError GODWIT_STATE_LOST
 */
export async function idsChunk(state: State, run: string, step: number, when: When, fence: string): Promise<Chunk> {
  const _id = chunkId(run, step, IDS_CHUNK[when]);
  const found = await state.chunks.findOne({ _id });
  if (!found)
    throw new GodwitError('GODWIT_STATE_LOST', `wanted chunk ${_id}, found that the state is gone`, {
      next: ['restore the state collections from a backup', 'godwit list'],
    });
  // Under the caller's own fence, whatever is stored: one that has lost its lease does not commit by reading the next.
  return { ...found, fence };
}

export const newIdsChunk = (run: string, step: number, when: When, fence: string): Chunk => ({
  _id: chunkId(run, step, IDS_CHUNK[when]),
  godwit: STATE_FORMAT,
  run,
  step,
  n: IDS_CHUNK[when],
  kind: 'ids',
  range: null,
  estimate: 0,
  state: 'open',
  cursor: null,
  seq: 0,
  chain: '',
  counters: NO_COUNTERS,
  fence,
  at: new Date(),
  undo: null,
});

export interface Checkpoint {
  readonly cursor: Cursor | null;
  readonly counters: Counters;
  readonly isDone: boolean;
  readonly chain: string;
}

/**
 * Moves the chunk past a batch, where fence and sequence number are the ones that the batch was read under.
 *
 * @returns false when they are not: the lease is lost, or a commit thought lost was there after all
 */
export async function checkpoint(
  state: State,
  chunk: Chunk,
  moved: Checkpoint,
  session: ClientSession,
): Promise<boolean> {
  const filter: Filter<Chunk> = { _id: chunk._id, fence: chunk.fence, seq: chunk.seq };
  const set: Document = {
    cursor: moved.cursor,
    counters: moved.counters,
    state: moved.isDone ? 'done' : 'open',
    chain: moved.chain,
  };
  const result = await state.chunks.updateOne(
    filter,
    { $set: set, $inc: { seq: 1 }, $currentDate: { at: true } },
    { session },
  );
  return result.matchedCount === 1;
}

/** Corrects counters of a chunk, where the lease is ours; false when it is another's. */
export async function recount(
  state: State,
  chunk: string,
  fence: string,
  by: { readonly scanned: number; readonly failed: number },
  session: ClientSession,
): Promise<boolean> {
  const change = { 'counters.scanned': by.scanned, 'counters.failed': by.failed };
  const result = await state.chunks.updateOne({ _id: chunk, fence }, { $inc: change } as Document, { session });
  return result.matchedCount === 1;
}

/** Makes a transaction conflict with a takeover where there is no cursor to move; false when the lease is another's. */
export async function touchFence(state: State, chunk: string, fence: string, session: ClientSession): Promise<boolean> {
  const result = await state.chunks.updateOne({ _id: chunk, fence }, { $currentDate: { at: true } }, { session });
  return result.matchedCount === 1;
}

/** The same for a batch of a rollback. */
export async function undoCheckpoint(
  state: State,
  chunk: Chunk,
  moved: ChunkUndo,
  session: ClientSession,
): Promise<boolean> {
  const filter: Filter<Chunk> = chunk.undo
    ? { _id: chunk._id, fence: chunk.fence, 'undo.seq': chunk.undo.seq }
    : { _id: chunk._id, fence: chunk.fence, undo: null };
  const result = await state.chunks.updateOne(
    filter,
    { $set: { undo: moved }, $currentDate: { at: true } },
    { session },
  );
  return result.matchedCount === 1;
}

export async function findChunk(state: State, id: string): Promise<Chunk | null> {
  return state.chunks.findOne({ _id: id });
}

/** The chunk as it is after a committed batch, without asking the server again. */
export function afterCheckpoint(chunk: Chunk, moved: Checkpoint): Chunk {
  return {
    ...chunk,
    cursor: moved.cursor,
    counters: moved.counters,
    state: moved.isDone ? 'done' : 'open',
    seq: chunk.seq + 1,
    chain: moved.chain,
  };
}

/** Counters that a checkpoint stores: those of the chunk and of the batch together. */
export const countersAfter = (chunk: Chunk, batch: Counters): Counters => addCounters(chunk.counters, batch);

/** Prepares the chunks for another rollback, with other rules, where the lease is ours. */
export async function resetUndo(state: State, run: string, fence: string): Promise<void> {
  const undo = {
    seq: { $add: ['$seq', 1] },
    done: false,
    round: { $add: [{ $ifNull: ['$undo.round', 0] }, 1] },
    counters: { $literal: NO_UNDO },
    conflicts: [],
    notes: [],
  };
  await state.chunks.updateMany({ run, fence }, [{ $set: { undo } }]);
}
