/** Puts the before and after images of a decided batch into its transaction; only then may the batch be written. */
import type { ClientSession } from 'mongodb';
import {
  type AuditDirection,
  type AuditDocument,
  chainAfter,
  digestOf,
  encodeImages,
  splitImages,
} from '../domain/audit-entry.js';
import { type DecidedBatch, type JournaledBatch, markJournaled } from '../domain/batch.js';
import type { Change } from '../domain/change.js';
import type { Chunk } from '../domain/chunk.js';
import { typedId } from '../domain/stored-document.js';
import { insertAudit } from '../mongo/audit-entries.js';
import type { State } from '../mongo/state.js';

/** Images in one audit document, in bytes: below 16 MiB with everything else that it holds. */
const MAX_PART_BYTES = 12 * 1024 * 1024;

/**
 * Inserts the audit document(s) of the batch.
 *
 * @param where the direction, the batch's number in its chunk (from 1), and which rollback it is (0 forwards)
 * @param isRange true when every `_id` between the first and the last can be told by the server's plain order
 */
export async function journal(
  state: State,
  chunk: Chunk,
  batch: DecidedBatch,
  where: { readonly direction: AuditDirection; readonly seq: number; readonly round: number },
  isRange: boolean,
  session: ClientSession,
): Promise<JournaledBatch> {
  const { changes, untouched } = batch;
  const images = await encodeImages(changes, untouched);
  const digest = digestOf(images);
  // Rollbacks have no chain of their own: they are told by the batches that they undo.
  const chain = where.direction === 'up' ? chainAfter(chunk.chain, digest) : digest;
  const parts = splitImages(images, MAX_PART_BYTES);
  const found = placeOf(changes, isRange);
  await insertAudit(state, chunk, { ...where, n: changes.length, found, digest, chain, parts }, session);
  return markJournaled(batch, chain);
}

/** By what `_id`s the batch is found. */
function placeOf(changes: readonly Change[], isRange: boolean): Pick<AuditDocument, 'first' | 'last' | 'ids'> {
  const [first] = changes;
  const last = changes.at(-1);
  if (!first || !last) return {};
  return isRange
    ? { first: typedId(first.before), last: typedId(last.before) }
    : { ids: changes.map(({ before }) => typedId(before)) };
}
