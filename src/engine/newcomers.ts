/**
 * Documents without a before image: in the part of the collection that the run has worked through, but not among those
 * that it changed, failed at, or found there and left. They were inserted meanwhile or since, most likely in the new
 * shape. The author's `down` takes them back where there is one; a rollback has nothing else to put in their place.
 */
import type { ClientSession } from 'mongodb';
import { decodeHashes, decodeUntouched } from '../domain/audit-entry.js';
import { type Chunk, chunkOfRange, chunksOfStep, coveringRanges, type IdRange, passedRange } from '../domain/chunk.js';
import { MAX_NEWCOMERS_LISTED, type Newcomers, NO_NEWCOMERS } from '../domain/newcomers.js';
import { wasCompleted } from '../domain/run.js';
import { typedId } from '../domain/stored-document.js';
import { auditOfChunk } from '../mongo/audit-entries.js';
import { quarantinedKeys } from '../mongo/failures.js';
import { plannedTargets } from '../mongo/id-map.js';
import { insertedMeanwhile } from './inserted.js';
import { rowsOf } from './merge-source.js';
import { readFrom, type StepContext } from './run-context.js';
import { undoNewcomers } from './undo-single.js';
import { walk } from './walk.js';

const READ_SIZE = 500;
const READ_BYTES = 8 * 1024 * 1024;

/** What the audit of a chunk tells about documents, by their keys. */
interface Known {
  readonly changed: ReadonlySet<string>;
  readonly untouched: ReadonlySet<string>;
}

const NOTHING: Known = { changed: new Set(), untouched: new Set() };

/** Null when the audit can't be trusted: its documents are conflicts then, and are not called newcomers as well. */
async function knownOf(context: StepContext, chunk: Chunk): Promise<Known | null> {
  const changed = new Set<string>();
  const untouched = new Set<string>();
  for await (const { head, images, isIntact } of auditOfChunk(context.state, chunk, 'up')) {
    if (!isIntact) return null;
    if (head.n > 0) for (const { key } of decodeHashes(images)) changed.add(key);
    for (const key of decodeUntouched(images)) untouched.add(key);
  }
  return { changed, untouched };
}

/** Keys of documents that a rollback of single documents has written: by `--only`, or by `down`. */
async function singlyUndone(context: StepContext, late: readonly Chunk[]): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const chunk of late)
    for await (const { head, images, isIntact } of auditOfChunk(context.state, chunk, 'down'))
      if (head.seq < 0 && head.n > 0 && isIntact) for (const { key } of decodeHashes(images)) keys.add(key);
  return keys;
}

/** The part of a range that the run has worked through. A completed one has looked behind its ends as well. */
const workedRange = (chunk: Chunk | undefined, open: IdRange, isCompleted: boolean): IdRange | null =>
  isCompleted && chunk?.state !== 'open' ? open : chunk ? passedRange(chunk) : null;

/** Where newcomers may be, with what is known there. */
async function* placesToLook(
  context: StepContext,
  chunks: readonly Chunk[],
): AsyncGenerator<{ readonly range: IdRange; readonly known: Known }> {
  const { ranges } = chunksOfStep(chunks, context.stepIndex);
  const isCompleted = wasCompleted(context.run);
  for (const range of coveringRanges(ranges.flatMap((chunk) => (chunk.range ? [chunk.range] : [])))) {
    const chunk = chunkOfRange(ranges, range);
    const worked = workedRange(chunk, range, isCompleted);
    const known = worked && (chunk ? await knownOf(context, chunk) : NOTHING);
    if (worked && known) yield { range: worked, known };
  }
}

/** `new`: has no before image. `back`: `down` has taken it back already. */
type Standing = 'known' | 'new' | 'back';

/** Tells the standing of a document by its key. */
async function judgeFor(
  context: StepContext,
  chunks: readonly Chunk[],
): Promise<{ readonly isSure: boolean; readonly judge: (key: string, known: Known) => Standing }> {
  const { early, late } = chunksOfStep(chunks, context.stepIndex);
  const singles: Known[] = [];
  for (const chunk of [...early, ...late]) singles.push((await knownOf(context, chunk)) ?? NOTHING);
  const quarantined = await quarantinedKeys(context.state, context.run._id, context.stepIndex);
  const back = await singlyUndone(context, late);
  const inserted = await insertedMeanwhile(context, chunks);
  // What a merge has nothing to merge into, it never meets.
  const planned = context.step.kind === 'merge' ? await plannedTargets(context.state, rowsOf(context)) : null;
  const judge = (key: string, { changed, untouched }: Known): Standing => {
    if (changed.has(key) || singles.some((single) => single.changed.has(key)) || quarantined.has(key)) return 'known';
    if (back.has(key)) return 'back';
    if (planned?.has(key)) return 'known';
    const wasFound = untouched.has(key) || singles.some((single) => single.untouched.has(key));
    return wasFound && !inserted.keys.has(key) ? 'known' : 'new';
  };
  return { isSure: inserted.isSure, judge };
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
): Promise<Newcomers> {
  // What came into a source since is in the old shape, and right as it is; of a script nobody can say what it would be.
  if (context.step.kind === 'legacy' || context.step.kind === 'script') return NO_NEWCOMERS;
  const { isSure, judge } = await judgeFor(context, chunks);
  const listed: { collection: string; id: unknown }[] = [];
  let [count, restored] = [0, 0];
  for await (const { range, known } of placesToLook(context, chunks))
    for await (const ids of strangers(context, range, (key) => judge(key, known))) {
      const outcome = await undoNewcomers(context, ids.new, session);
      restored += ids.back + outcome.restored;
      count += outcome.left.length;
      for (const id of outcome.left.slice(0, MAX_NEWCOMERS_LISTED - listed.length))
        listed.push({ collection: context.step.collection, id });
    }
  return { restored, count, listed, isSure };
}

async function* strangers(
  context: StepContext,
  range: IdRange,
  standing: (key: string) => Standing,
): AsyncGenerator<{ readonly new: readonly unknown[]; readonly back: number }> {
  for await (const documents of walk(readFrom(context), range, { limit: READ_SIZE, maxBytes: READ_BYTES })) {
    const found = { new: [] as unknown[], back: 0 };
    for (const document of documents) {
      const is = standing(document.key);
      if (is === 'new') found.new.push(typedId(document));
      if (is === 'back') found.back += 1;
    }
    yield found;
  }
}
