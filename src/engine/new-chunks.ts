/** Chunks as a plan makes them. */
import { type Chunk, type IdRange, NO_COUNTERS } from '../domain/chunk.js';
import { NO_FENCE } from '../domain/lease.js';
import { chunkId, newIdsChunk } from '../mongo/chunks.js';
import { STATE_FORMAT } from '../mongo/state.js';

/** A range with the documents in it, about. */
interface PlannedRange {
  readonly range: IdRange;
  readonly count: number;
}

const NEW_CHUNK = {
  godwit: STATE_FORMAT,
  kind: 'range',
  state: 'open',
  cursor: null,
  seq: 0,
  counters: NO_COUNTERS,
  chain: '',
  fence: NO_FENCE,
  undo: null,
} as const;

export const singleChunks = (run: string, step: number): Chunk[] =>
  (['early', 'late'] as const).map((when) => newIdsChunk(run, step, when, NO_FENCE));

export const rangeChunks = (run: string, step: number, ranges: readonly PlannedRange[]): Chunk[] =>
  ranges.map(({ range, count }, n): Chunk => {
    const _id = chunkId(run, step, n);
    return { ...NEW_CHUNK, _id, run, step, n, range, estimate: count, at: new Date() };
  });
