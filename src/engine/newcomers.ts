/**
 * Documents without a before image: in the part of the collection that the run has worked through, but in none of its
 * lists (changed, untouched, failed). They were inserted since, most likely in the new shape. The author's `down` takes
 * them back where there is one; a rollback has nothing else to put in their place.
 */

import type { ClientSession } from 'mongodb';
import { decodeHashes, decodeUntouched } from '../domain/audit-entry.js';
import { typedId } from '../domain/change.js';
import { type Chunk, type Cursor, chunkOfRange, coveringRanges, type IdRange, rangeFilter } from '../domain/chunk.js';
import { auditOfChunk } from '../mongo/audit-entries.js';
import { quarantinedKeys } from '../mongo/failures.js';
import { readBatch } from '../mongo/read-batch.js';
import { readFrom } from './run-chunk.js';
import type { StepContext } from './run-context.js';
import { undoNewcomers } from './undo-single.js';

/** `_id`s that are listed; all are counted. */
const MAX_LISTED = 1_000;
const READ_SIZE = 500;
const READ_BYTES = 8 * 1024 * 1024;

export interface NewcomerReport {
  /** Taken back by `down`. */
  readonly restored: number;
  /** Left as they are. */
  readonly count: number;
  readonly listed: readonly { readonly collection: string; readonly id: unknown }[];
}

export const NO_NEWCOMERS: NewcomerReport = { restored: 0, count: 0, listed: [] };

/**
 * Documents that the audit of a chunk knows: changed, untouched, or taken back by `down` in an earlier rollback. Null
 * when it can't be trusted: its documents are conflicts then, and are not called newcomers as well.
 */
async function knownKeys(context: StepContext, chunk: Chunk): Promise<Set<string> | null> {
  const keys = new Set<string>();
  for await (const { head, images, isIntact } of auditOfChunk(context.state, chunk, 'down'))
    if (head.seq < 0 && head.n > 0 && isIntact) for (const { key } of decodeHashes(images)) keys.add(key);
  for await (const { head, images, isIntact } of auditOfChunk(context.state, chunk, 'up')) {
    if (!isIntact) return null;
    if (head.n > 0) for (const { key } of decodeHashes(images)) keys.add(key);
    for (const key of decodeUntouched(images)) keys.add(key);
  }
  return keys;
}

/** The part of a chunk's range that the run has worked through; null when it has not begun. */
function workedRange(chunk: Chunk, open: IdRange | undefined, wasCompleted: boolean): IdRange | null {
  if (!chunk.range) return null;
  if (chunk.state === 'done') return wasCompleted && open ? open : chunk.range;
  return chunk.cursor ? { ...chunk.range, upper: chunk.cursor.id } : null;
}

/** Where newcomers may be, with the keys that are known there. */
async function* placesToLook(
  context: StepContext,
  chunks: readonly Chunk[],
): AsyncGenerator<{ readonly range: IdRange; readonly known: ReadonlySet<string> }> {
  const ranges = chunks.filter(({ kind }) => kind === 'range');
  const wasCompleted = context.run.history.some(({ to }) => to === 'completed');
  for (const range of coveringRanges(ranges.flatMap((chunk) => (chunk.range ? [chunk.range] : [])))) {
    const chunk = chunkOfRange(ranges, range);
    const worked = chunk ? workedRange(chunk, range, wasCompleted) : wasCompleted ? range : null;
    const known = chunk ? await knownKeys(context, chunk) : new Set<string>();
    if (worked && known) yield { range: worked, known };
  }
}

/**
 * Looks for newcomers, and takes back what the author's `down` can take back.
 *
 * @param session without one nothing is written, only counted
 */
export async function settleNewcomers(
  context: StepContext,
  chunks: readonly Chunk[],
  session: ClientSession | undefined,
): Promise<NewcomerReport> {
  const own = chunks.filter(({ step }) => step === context.stepIndex);
  const single = own.find(({ kind }) => kind === 'ids');
  const elsewhere = (single && (await knownKeys(context, single))) ?? new Set<string>();
  for (const key of await quarantinedKeys(context.state, context.run._id, context.stepIndex)) elsewhere.add(key);
  const listed: { collection: string; id: unknown }[] = [];
  let [count, restored] = [0, 0];
  for await (const { range, known } of placesToLook(context, own))
    for await (const ids of strangers(context, range, known, elsewhere)) {
      const outcome = await undoNewcomers(context, ids, session);
      restored += outcome.restored;
      count += outcome.left.length;
      for (const id of outcome.left.slice(0, MAX_LISTED - listed.length))
        listed.push({ collection: context.step.collection, id });
    }
  return { restored, count, listed };
}

async function* strangers(
  context: StepContext,
  range: IdRange,
  known: ReadonlySet<string>,
  elsewhere: ReadonlySet<string>,
): AsyncGenerator<readonly unknown[]> {
  let cursor: Cursor | null = null;
  for (;;) {
    const filter = rangeFilter(range, cursor);
    if (!filter) return;
    const read = await readBatch(readFrom(context), filter, { limit: READ_SIZE, maxBytes: READ_BYTES });
    const ids = read.documents.filter(({ key }) => !known.has(key) && !elsewhere.has(key)).map(typedId);
    if (ids.length > 0) yield ids;
    const last = read.documents.at(-1);
    if (!last || !read.hasMore) return;
    cursor = { id: typedId(last) };
  }
}
