/** Where the documents of a batch come from: the collection itself, or a list of `_id`s. */
import type { ClientSession, Document, Filter } from 'mongodb';
import type { ReadBatch } from '../domain/batch.js';
import { type Chunk, type Cursor, type IdRange, rangeFilter } from '../domain/chunk.js';
import { typedId } from '../domain/stored-document.js';
import { bothFilters, type ReadFrom, type ReadOptions, readBatch } from '../mongo/read-batch.js';

/**
 * `all`: every document is counted. `changes`: documents that the plan's ranges count as well, so only what is changed,
 * fails, or leaves quarantine is.
 */
export type Counting = 'all' | 'changes';

export interface Source {
  read(options: ReadOptions & { readonly session: ClientSession }): Promise<ReadBatch>;
  /** False for sources that add to a chunk without an end of their own. */
  readonly closesChunk: boolean;
  /** What of its documents is counted. */
  readonly counts: Counting;
}

const NOTHING: ReadBatch = { documents: [], hasMore: false };

/** `_id`s looked at for one batch of a filtered step, at most: bounds the time in which a snapshot is held. */
const MAX_WINDOW = 20_000;

/** How many `_id`s the next batch of a filtered step looks at: more while few of them are chosen. */
export class Window {
  #size = 0;

  sizeFor(limit: number): number {
    return Math.min(MAX_WINDOW, Math.max(this.#size, 2 * limit));
  }

  adapt(limit: number, chosen: number): void {
    this.#size = chosen >= limit / 2 ? 2 * limit : 2 * this.sizeFor(limit);
  }
}

/** What lies in the chunk's range after its cursor. */
export function collectionSource(
  from: ReadFrom,
  filter: Filter<Document> | undefined,
  chunk: Chunk,
  window: Window,
): Source {
  return {
    closesChunk: true,
    counts: 'all',
    read: async (options) => {
      const range = chunk.range ? rangeFilter(chunk.range, chunk.cursor) : undefined;
      if (!range || !chunk.range) return NOTHING;
      if (!filter) return readBatch(from, range, options);
      return readWindow(from, { range: chunk.range, cursor: chunk.cursor, filter }, window, options);
    },
  };
}

interface Filtered {
  readonly range: IdRange;
  readonly cursor: Cursor | null;
  readonly filter: Filter<Document>;
}

/** The chosen documents among the next `_id`s, and those `_id`s, in the same snapshot. */
async function readWindow(
  from: ReadFrom,
  { range, cursor, filter }: Filtered,
  window: Window,
  options: ReadOptions,
): Promise<ReadBatch> {
  const all = rangeFilter(range, cursor) ?? {};
  const size = window.sizeFor(options.limit);
  const ids = await readBatch(from, all, {
    ...options,
    limit: size,
    maxBytes: Number.POSITIVE_INFINITY,
    idsOnly: true,
  });
  const last = ids.documents.at(-1);
  if (!last) return NOTHING;
  const bounded = rangeFilter({ ...range, upper: typedId(last) }, cursor) ?? all;
  const read = await readBatch(from, bothFilters(bounded, filter), options);
  window.adapt(options.limit, read.documents.length);
  const end = read.documents.at(-1);
  // A full batch may leave chosen documents behind its last one: the window ends there.
  const upTo = read.hasMore && end ? ids.documents.findIndex(({ key }) => key === end.key) + 1 : ids.documents.length;
  return { documents: read.documents, hasMore: read.hasMore || ids.hasMore, window: ids.documents.slice(0, upTo) };
}

export interface IdsOptions {
  /**
   * `_id`s of documents that earlier batches have taken, as they are stored: left away by the server, which holds 5 and
   * 5.0 for equal, so that a batch is cut by the bytes of what is left.
   */
  readonly done: readonly unknown[];
  readonly counts: Counting;
}

/** The documents with these `_id`s that the filter still matches, but for those that are done. */
export function idsSource(
  from: ReadFrom,
  filter: Filter<Document> | undefined,
  ids: readonly unknown[],
  options: IdsOptions,
): Source {
  return {
    closesChunk: false,
    counts: options.counts,
    read: async ({ limit, maxBytes, session }) => {
      const open = bothFilters({ _id: { $in: ids, $nin: options.done } }, filter);
      const read = await readBatch(from, open, { limit: limit + 1, maxBytes, session });
      return { documents: read.documents.slice(0, limit), hasMore: read.hasMore };
    },
  };
}
