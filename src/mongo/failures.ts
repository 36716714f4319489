/** The `migrations_failures` collection: documents in quarantine, once each. */
import { createHash } from 'node:crypto';
import { Binary, type ClientSession } from 'mongodb';
import type { FailedDocument } from '../domain/batch.js';
import type { Chunk } from '../domain/chunk.js';
import type { FailureDocument } from '../domain/failure.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { STATE_FORMAT, type State } from './state.js';

const failureId = (chunk: Chunk, key: string): string =>
  `${chunk.run}/${chunk.step}/${createHash('sha256').update(key).digest('hex').slice(0, 32)}`;

/** Largest image that is kept beside what is known of a failure, in bytes. */
const MAX_IMAGE_BYTES = 15 * 1024 * 1024;

export interface FailureContext {
  readonly migration: string;
  readonly collection: string;
}

/** Stores the failed documents of a batch, in its transaction. A document that failed before is stored anew, not twice. */
export async function storeFailures(
  state: State,
  chunk: Chunk,
  failed: readonly FailedDocument[],
  context: FailureContext,
  session: ClientSession,
): Promise<void> {
  for (const { document, failure } of failed) {
    const entry: Omit<FailureDocument, '_id'> = {
      godwit: STATE_FORMAT,
      run: chunk.run,
      migration: context.migration,
      chunk: chunk._id,
      step: chunk.step,
      collection: context.collection,
      documentId: typedId(document),
      code: failure.code,
      message: failure.message,
      at: failure.at ?? null,
      other: failure.other ?? null,
      key: document.key,
      image: document.bytes.length <= MAX_IMAGE_BYTES ? new Binary(document.bytes) : null,
      when: new Date(),
    };
    await state.failures.replaceOne({ _id: failureId(chunk, document.key) }, entry, { upsert: true, session });
  }
}

/** Keys of those of the documents that are in quarantine. */
export async function quarantinedAmong(
  state: State,
  chunk: Chunk,
  documents: readonly StoredDocument[],
  session: ClientSession,
): Promise<ReadonlySet<string>> {
  if (documents.length === 0) return new Set();
  const ids = documents.map(({ key }) => failureId(chunk, key));
  const found = await state.failures.find({ _id: { $in: ids } }, { projection: { key: 1 }, session }).toArray();
  return new Set(found.map(({ key }) => key));
}

/** Takes documents out of quarantine, in the transaction that migrates them. */
export async function clearFailures(
  state: State,
  chunk: Chunk,
  documents: readonly StoredDocument[],
  session: ClientSession,
): Promise<void> {
  if (documents.length === 0) return;
  await state.failures.deleteMany({ _id: { $in: documents.map(({ key }) => failureId(chunk, key)) } }, { session });
}

/** Takes a document out of quarantine that is no longer there, or no longer chosen by the filter. */
export async function forgetFailure(state: State, id: string, session: ClientSession): Promise<void> {
  await state.failures.deleteOne({ _id: id }, { session });
}

export interface Quarantined {
  readonly entry: string;
  readonly key: string;
  /** The document's `_id`, exactly. */
  readonly id: unknown;
  /** The chunk that failed at it. */
  readonly chunk: string;
}

/** The quarantined documents of one step. */
export async function listQuarantined(state: State, run: string, step: number): Promise<Quarantined[]> {
  const found = await state.failures
    .find({ run, step }, { projection: { documentId: 1, key: 1, chunk: 1 }, promoteValues: false })
    .sort({ _id: 1 })
    .toArray();
  return found.map(({ _id, key, documentId, chunk }) => ({
    entry: String(_id),
    key: String(key),
    id: documentId,
    chunk: String(chunk),
  }));
}

/** Keys of the quarantined documents of one step. */
export async function quarantinedKeys(state: State, run: string, step: number): Promise<Set<string>> {
  const keys = new Set<string>();
  for await (const { key } of state.failures.find({ run, step }, { projection: { key: 1 } })) keys.add(key);
  return keys;
}

export interface StoredFailureGroup {
  readonly code: string;
  readonly message: string;
  readonly count: number;
  readonly firstId: unknown;
  /** Who has the key of the first, for a unique index. */
  readonly other: { readonly id: unknown } | null;
  /** Place in the author's file, where the failure has one. */
  readonly at: string | null;
}

/** Failures by code and message, most frequent first. */
export async function groupFailures(state: State, run: string): Promise<StoredFailureGroup[]> {
  const groups = await state.failures
    .aggregate<{
      _id: { code: string; message: string };
      count: number;
      firstId: unknown;
      other: { id: unknown } | null;
      at: string | null;
    }>([
      { $match: { run } },
      { $sort: { chunk: 1, _id: 1 } },
      {
        $group: {
          _id: { code: '$code', message: '$message' },
          count: { $sum: 1 },
          firstId: { $first: '$documentId' },
          other: { $first: '$other' },
          at: { $first: '$at' },
        },
      },
      { $sort: { count: -1 } },
    ])
    .toArray();
  return groups.map(({ _id, ...group }) => ({ ..._id, ...group }));
}

export const countFailures = (state: State, run: string): Promise<number> => state.failures.countDocuments({ run });
