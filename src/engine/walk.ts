/** Walks through the documents of a range, by `_id`, in portions. Reads only. */
import type { Document, Filter } from 'mongodb';
import { type Cursor, type IdRange, rangeFilter } from '../domain/chunk.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { bothFilters, type ReadFrom, readBatch } from '../mongo/read-batch.js';

/** Of one portion, in documents and bytes. */
export interface Portion {
  readonly limit: number;
  readonly maxBytes: number;
  /** Only `_id`s are read. */
  readonly idsOnly?: boolean;
}

/** How a portion is asked for. */
type Ask = <T>(work: () => Promise<T>) => Promise<T>;

/** A fresh query for each portion; none of them is empty. */
export async function* walk(
  from: ReadFrom,
  range: IdRange,
  portion: Portion,
  only?: Filter<Document>,
  ask: Ask = (work) => work(),
): AsyncGenerator<readonly StoredDocument[]> {
  let cursor: Cursor | null = null;
  for (;;) {
    const filter = rangeFilter(range, cursor);
    if (!filter) return;
    const read = await ask(() => readBatch(from, bothFilters(filter, only), portion));
    const last = read.documents.at(-1);
    if (last) yield read.documents;
    if (!last || !read.hasMore) return;
    cursor = { id: typedId(last) };
  }
}
