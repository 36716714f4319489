/** Where the documents of a batch come from: the collection itself, or a list of `_id`s. */
import type { ClientSession, Document, Filter } from 'mongodb';
import type { ReadBatch } from '../domain/batch.js';
import { type Chunk, rangeFilter } from '../domain/chunk.js';
import { bothFilters, type ReadFrom, type ReadOptions, readBatch } from '../mongo/read-batch.js';

export interface Source {
  read(options: ReadOptions & { readonly session: ClientSession }): Promise<ReadBatch>;
  /** False for sources that add to a chunk without an end of their own. */
  readonly closesChunk: boolean;
  /** True when the documents come out of quarantine: they were counted as failed before. */
  readonly isRetry: boolean;
}

const NOTHING: ReadBatch = { documents: [], hasMore: false };

/** What lies in the chunk's range after its cursor. */
export function collectionSource(from: ReadFrom, filter: Filter<Document> | undefined, chunk: Chunk): Source {
  return {
    closesChunk: true,
    isRetry: false,
    read: async (options) => {
      const range = chunk.range ? rangeFilter(chunk.range, chunk.cursor) : undefined;
      return range ? readBatch(from, bothFilters(range, filter), options) : NOTHING;
    },
  };
}

/**
 * The documents with these `_id`s that the filter still matches, but for those that are done.
 *
 * @param done keys of documents that earlier batches have taken
 */
export function idsSource(
  from: ReadFrom,
  filter: Filter<Document> | undefined,
  ids: readonly unknown[],
  options: { readonly done: ReadonlySet<string>; readonly isRetry: boolean },
): Source {
  return {
    closesChunk: false,
    isRetry: options.isRetry,
    read: async ({ limit, maxBytes, session }) => {
      const read = await readBatch(from, bothFilters({ _id: { $in: ids } }, filter), {
        limit: ids.length + 1,
        maxBytes,
        session,
      });
      const open = read.documents.filter(({ key }) => !options.done.has(key));
      return { documents: open.slice(0, limit), hasMore: read.hasMore || open.length > limit };
    },
  };
}
