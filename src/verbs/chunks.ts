/** How far the chunks of a run are, one by one. */
import { type Chunk, type Counters, passedRange } from '../domain/chunk.js';
import type { RunDocument } from '../domain/run.js';
import { listChunks } from '../mongo/chunks.js';
import { ShownId } from '../report/shown-id.js';
import type { Session } from './session.js';

/** A range of `_id`s that one worker at a time moves through. */
export interface ChunkView extends Counters {
  readonly collection: string;
  /** Its place among the chunks of its step, from 1. */
  readonly n: number;
  readonly state: 'open' | 'begun' | 'done' | 'undoing' | 'undone';
  /** Documents in it, about. */
  readonly estimate: number;
  readonly batches: number;
  /** The last document that is through; null before the first batch. */
  readonly cursor: ShownId | null;
  readonly updatedAt: string;
}

function stateOf(chunk: Chunk): ChunkView['state'] {
  if (chunk.undo) return chunk.undo.done ? 'undone' : 'undoing';
  if (chunk.state === 'done') return 'done';
  return passedRange(chunk) ? 'begun' : 'open';
}

const viewOf = (chunk: Chunk, collection: string): ChunkView => ({
  collection,
  n: chunk.n + 1,
  state: stateOf(chunk),
  estimate: chunk.estimate,
  ...chunk.counters,
  batches: chunk.seq,
  cursor: chunk.cursor ? new ShownId(chunk.cursor.id) : null,
  updatedAt: chunk.at.toISOString(),
});

/** Those of the plan, in the order of its steps; what was taken through out of turn has none. */
export async function chunkViews({ state }: Session, run: RunDocument): Promise<ChunkView[]> {
  const chunks = await listChunks(state, run._id);
  return chunks
    .filter(({ kind }) => kind === 'range')
    .map((chunk) => viewOf(chunk, run.steps[chunk.step]?.collection ?? ''));
}
