/** Reads documents by `_id` as bytes: a fresh keyset query each time, never a long-lived cursor. */
import { Binary, type ClientSession, type Db, type Document, type Filter } from 'mongodb';
import type { ReadBatch } from '../domain/batch.js';
import { type StoredDocument, storedDocument } from '../domain/stored-document.js';
import { rawDocuments } from './raw-documents.js';

export interface ReadFrom {
  readonly db: Db;
  readonly collection: string;
  /** The planned collection's UUID in hex: the server answers 361 when the name means another one now. '': not there yet. */
  readonly uuid: string;
  /** Where lookups find what was merged into what. */
  readonly canonicals?: CanonicalsOf;
}

/** A merged document, and the one that it has become part of. */
export interface Canonical {
  readonly id: unknown;
  readonly canonical: unknown;
}

/** Finds the canonical documents in `into` of documents that were in `from`. */
export type CanonicalsOf = (
  collections: { readonly from: string; readonly into: string },
  ids: readonly unknown[],
  session?: ClientSession,
) => Promise<readonly Canonical[]>;

export const uuidOf = ({ uuid }: ReadFrom): Binary => new Binary(Buffer.from(uuid, 'hex'), 4);

export interface ReadOptions {
  readonly limit: number;
  /** The batch is cut where its documents reach this many bytes (one document is always taken). */
  readonly maxBytes: number;
  readonly session?: ClientSession;
  /** Only `_id`s are read: documents of one field. */
  readonly idsOnly?: boolean;
}

/** All documents with these `_id`s that there are, whatever their size. */
export async function readByIds(
  from: ReadFrom,
  ids: readonly unknown[],
  { filter, ...options }: Pick<ReadOptions, 'session' | 'idsOnly'> & { readonly filter?: Filter<Document> } = {},
): Promise<readonly StoredDocument[]> {
  if (ids.length === 0) return [];
  const limits = { limit: ids.length + 1, maxBytes: Number.POSITIVE_INFINITY, ...options };
  return (await readBatch(from, bothFilters({ _id: { $in: [...ids] } }, filter), limits)).documents;
}

/** The filter on `_id` and the migration's own, together. */
export function bothFilters(range: Document, filter: Filter<Document> | undefined): Document {
  return filter ? { $and: [range, filter] } : range;
}

/**
 * The next documents in `_id` order. The collection's own collation and its `_id` index are used: examined ÷ returned
 * stays at 1 on plain, collated and clustered collections.
 */
export async function readBatch(from: ReadFrom, filter: Document, options: ReadOptions): Promise<ReadBatch> {
  if (from.uuid === '') return { documents: [], hasMore: false };
  const command: Document = {
    find: from.collection,
    filter,
    sort: { _id: 1 },
    hint: { _id: 1 },
    limit: options.limit,
    // One more than the limit, so that the server closes the cursor with the first reply.
    batchSize: options.limit + 1,
    ...(options.idsOnly ? { projection: { _id: 1 } } : {}),
    collectionUUID: uuidOf(from),
  };
  const documents: StoredDocument[] = [];
  let bytes = 0;
  let isCut = false;
  for await (const raw of rawDocuments(from.db, command, options.session)) {
    const document = storedDocument(raw);
    if (documents.length > 0 && bytes + document.bytes.length > options.maxBytes) {
      isCut = true;
      break;
    }
    bytes += document.bytes.length;
    documents.push(document);
  }
  return { documents, hasMore: isCut || documents.length === options.limit };
}
