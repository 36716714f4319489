/**
 * Documents without a before image: in the part of the collection that the run has worked through, but in none of its
 * lists (changed, untouched, failed). They were inserted since, most likely in the new shape, and a rollback has
 * nothing to put in their place.
 *
 * With a filter the run never saw the documents that it did not choose, so newcomers can't be told from them: the
 * collection is then named in `notLookedAt`.
 */
import { decodeHashes, decodeUntouched } from '../domain/audit-entry.js';
import { typedId } from '../domain/change.js';
import { type Chunk, type Cursor, chunkOfRange, coveringRanges, type IdRange, rangeFilter } from '../domain/chunk.js';
import { auditOfChunk } from '../mongo/audit-entries.js';
import { quarantinedKeys } from '../mongo/failures.js';
import { readBatch } from '../mongo/read-batch.js';
import { readFrom } from './run-chunk.js';
import type { StepContext } from './run-context.js';

/** `_id`s that are listed; all are counted. */
const MAX_LISTED = 1_000;
const READ_SIZE = 2_000;

export interface NewcomerReport {
  readonly restored: number;
  readonly count: number;
  readonly listed: readonly { readonly collection: string; readonly id: unknown }[];
  /** Collections in which newcomers can't be told apart. */
  readonly notLookedAt: readonly string[];
}

async function knownKeys(context: StepContext, chunk: Chunk): Promise<Set<string>> {
  const keys = new Set<string>();
  for await (const { head, images } of auditOfChunk(context.state, chunk, 'up')) {
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

export async function findNewcomers(context: StepContext, chunks: readonly Chunk[]): Promise<NewcomerReport> {
  if (context.step.filter) return { restored: 0, count: 0, listed: [], notLookedAt: [context.step.collection] };
  const own = chunks.filter(({ step }) => step === context.stepIndex);
  const ranges = own.filter(({ kind }) => kind === 'range');
  const single = own.find(({ kind }) => kind === 'ids');
  const elsewhere = single ? await knownKeys(context, single) : new Set<string>();
  for (const key of await quarantinedKeys(context.state, context.run._id, context.stepIndex)) elsewhere.add(key);
  const wasCompleted = context.run.history.some(({ to }) => to === 'completed');
  const covering = coveringRanges(ranges.flatMap(({ range }) => (range ? [range] : [])));
  const listed: { collection: string; id: unknown }[] = [];
  let count = 0;
  for (const range of covering) {
    const chunk = chunkOfRange(ranges, range);
    const worked = chunk ? workedRange(chunk, range, wasCompleted) : wasCompleted ? range : null;
    if (!worked) continue;
    const known = chunk ? await knownKeys(context, chunk) : new Set<string>();
    for await (const id of strangers(context, worked, known, elsewhere)) {
      count += 1;
      if (listed.length < MAX_LISTED) listed.push({ collection: context.step.collection, id });
    }
  }
  return { restored: 0, count, listed, notLookedAt: [] };
}

async function* strangers(
  context: StepContext,
  range: IdRange,
  known: Set<string>,
  elsewhere: Set<string>,
): AsyncGenerator<unknown> {
  let cursor: Cursor | null = null;
  for (;;) {
    const filter = rangeFilter(range, cursor);
    if (!filter) return;
    const read = await readBatch(readFrom(context), filter, { limit: READ_SIZE, maxBytes: 16 * 1024 * 1024 });
    for (const document of read.documents)
      if (!known.has(document.key) && !elsewhere.has(document.key)) yield typedId(document);
    const last = read.documents.at(-1);
    if (!last || !read.hasMore) return;
    cursor = { id: typedId(last) };
  }
}
