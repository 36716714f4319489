/** Where the documents of a batch come from: the collection itself, or a list of `_id`s. */
import type { ClientSession, Document, Filter } from 'mongodb';
import type { ReadBatch } from '../domain/batch.js';
import { type Chunk, rangeFilter } from '../domain/chunk.js';
import { bothFilters, type ReadFrom, type ReadOptions, readBatch } from '../mongo/read-batch.js';

export interface Source {
  read(options: ReadOptions & { readonly session: ClientSession }): Promise<ReadBatch>;
  /** False for sources that add to a chunk without an end of their own. */
  readonly closesChunk: boolean;
}

const NOTHING: ReadBatch = { documents: [], hasMore: false };

/** What lies in the chunk's range after its cursor. */
export function collectionSource(from: ReadFrom, filter: Filter<Document> | undefined, chunk: Chunk): Source {
  return {
    closesChunk: true,
    read: async (options) => {
      const range = chunk.range ? rangeFilter(chunk.range, chunk.cursor) : undefined;
      return range ? readBatch(from, bothFilters(range, filter), options) : NOTHING;
    },
  };
}

/** The documents with these `_id`s that the filter still matches. */
export function idsSource(from: ReadFrom, filter: Filter<Document> | undefined, ids: readonly unknown[]): Source {
  return {
    closesChunk: false,
    read: (options) => readBatch(from, bothFilters({ _id: { $in: ids } }, filter), options),
  };
}
