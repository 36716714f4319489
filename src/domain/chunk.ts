/**
 * A chunk: a piece of a collection's `_id` space that one worker moves through, batch by batch. It lies inside one
 * bracket of BSON types, since the server's range comparisons never cross brackets. Chunks are cut once, when the
 * plan is made, and are disjoint; the cursor, the sequence number and the counters move in the transaction of each batch.
 */
import { Binary, Code, type Document, MaxKey, MinKey, ObjectId, Timestamp } from 'bson';

/** A date before every other: JavaScript's own range ends earlier than BSON's. */
class EarliestDate extends Date {
  override getTime(): number {
    return -(2 ** 63);
  }
}

/** A bracket is one point (`{_id: value}`) or everything from its least value on. */
export interface Bracket {
  readonly name: string;
  readonly least: unknown;
  readonly isPoint: boolean;
}

/**
 * The brackets of legal `_id`s in BSON's sort order. NaN is a point of its own: it sorts before all numbers, but no
 * range finds it. Source: MongoDB manual, "Comparison/Sort Order"; checked on the server in test/integration/ids.test.ts.
 */
export const BRACKETS: readonly Bracket[] = [
  { name: 'minKey', least: new MinKey(), isPoint: true },
  { name: 'null', least: null, isPoint: true },
  { name: 'NaN', least: Number.NaN, isPoint: true },
  { name: 'number', least: Number.NEGATIVE_INFINITY, isPoint: false },
  { name: 'string', least: '', isPoint: false },
  { name: 'object', least: {}, isPoint: false },
  { name: 'binary', least: new Binary(Buffer.alloc(0), 0), isPoint: false },
  { name: 'objectId', least: new ObjectId('000000000000000000000000'), isPoint: false },
  { name: 'bool', least: false, isPoint: false },
  { name: 'date', least: new EarliestDate(0), isPoint: false },
  { name: 'timestamp', least: new Timestamp({ t: 0, i: 0 }), isPoint: false },
  { name: 'javascript', least: new Code(''), isPoint: false },
  { name: 'javascriptWithScope', least: new Code('', {}), isPoint: false },
  { name: 'maxKey', least: new MaxKey(), isPoint: true },
];

/** An interval of `_id`s inside one bracket. Without `lower` it begins with the bracket, without `upper` it ends there. */
export interface IdRange {
  readonly bracket: string;
  /** Exclusive. */
  readonly lower?: unknown;
  /** Inclusive. */
  readonly upper?: unknown;
}

function bracketNamed(name: string): Bracket {
  const bracket = BRACKETS.find((candidate) => candidate.name === name);
  if (!bracket) throw new RangeError(`no bracket is called ${name}`);
  return bracket;
}

/** A position in a range: `_id` of the last document that is done. The value may be null, hence the wrapper. */
export interface Cursor {
  readonly id: unknown;
}

/** The filter on `_id` for what comes after the cursor; undefined when nothing can come. */
export function rangeFilter(range: IdRange, cursor: Cursor | null): Document | undefined {
  const bracket = bracketNamed(range.bracket);
  if (bracket.isPoint) return cursor ? undefined : { _id: { $eq: bracket.least } };
  const after = cursor ?? ('lower' in range ? { id: range.lower } : null);
  const from = after ? { $gt: after.id } : { $gte: bracket.least };
  return { _id: 'upper' in range ? { ...from, $lte: range.upper } : from };
}

/**
 * Ranges that cover every legal `_id`, along the bounds of the planned ones: what the plan's ranges leave out at
 * their open ends (documents inserted later) is in here. Used by verification, which looks at everything.
 */
export function coveringRanges(planned: readonly IdRange[]): IdRange[] {
  return BRACKETS.flatMap(({ name }): IdRange[] => {
    const own = planned.filter((range) => range.bracket === name);
    if (own.length < 2) return [{ bracket: name }];
    return own.map((range, index) => {
      const open: { bracket: string; lower?: unknown; upper?: unknown } = { bracket: name };
      if (index > 0 && 'lower' in range) open.lower = range.lower;
      if (index < own.length - 1 && 'upper' in range) open.upper = range.upper;
      return open;
    });
  });
}

/** The planned chunk that a covering range stands for: the one with the same upper bound, or the last of its bracket. */
export function chunkOfRange(planned: readonly Chunk[], range: IdRange): Chunk | undefined {
  const own = planned.filter((chunk) => chunk.range?.bracket === range.bracket);
  return 'upper' in range ? own.find((chunk) => chunk.range?.upper === range.upper) : own.at(-1);
}

/** What became of the documents of a chunk, a batch, or a run. `scanned` is the sum of the others. */
export interface Counters {
  readonly scanned: number;
  readonly changed: number;
  readonly inserted: number;
  readonly deleted: number;
  readonly unchanged: number;
  readonly skipped: number;
  readonly failed: number;
}

export const NO_COUNTERS: Counters = {
  ...{ scanned: 0, changed: 0, inserted: 0, deleted: 0 },
  ...{ unchanged: 0, skipped: 0, failed: 0 },
};

/** The names of `none`, each the sum of both. What an older version has not counted is none. */
function added<T extends object>(none: T, a: T, b: T): T {
  const of = (counters: T, name: string): number => Number((counters as Record<string, unknown>)[name] ?? 0);
  return Object.fromEntries(Object.keys(none).map((name) => [name, of(a, name) + of(b, name)])) as T;
}

export const addCounters = (a: Counters, b: Counters): Counters => added(NO_COUNTERS, a, b);

/** Documents that were written: each has an entry in the audit. */
export const writtenOf = ({ changed, inserted, deleted }: Counters): number => changed + inserted + deleted;

/** The figures of a run, or of some of its chunks: the sum of theirs. */
export function sumOfCounters(chunks: readonly Chunk[]): Counters {
  return chunks.reduce((sum, { counters }) => addCounters(sum, counters), NO_COUNTERS);
}

/** What a rollback did with the documents of a chunk (the rows of the rollback table in docs/guide/rollback.md). */
export interface UndoCounters {
  /** Put back to the exact bytes. */
  readonly restored: number;
  /** Inserted by the run, and removed again. */
  readonly removed: number;
  /** Deleted by the run, and inserted again, to the exact bytes. */
  readonly reinserted: number;
  /** Restored field by field: later edits of the application are kept. */
  readonly keptFields: number;
  /** Restored over later edits of the same fields, as was asked for. */
  readonly overwritten: number;
  /** Found as before the run already. */
  readonly alreadyBack: number;
  /** Deleted by the application since. */
  readonly goneSince: number;
  /** Left with at least one field that the application changed since. */
  readonly conflicts: number;
}

export const NO_UNDO: UndoCounters = {
  ...{ restored: 0, removed: 0, reinserted: 0, keptFields: 0, overwritten: 0 },
  ...{ alreadyBack: 0, goneSince: 0, conflicts: 0 },
};

export const addUndo = (a: UndoCounters, b: UndoCounters): UndoCounters => added(NO_UNDO, a, b);

/** Documents that they tell of. */
export const undoTotal = (counters: UndoCounters): number =>
  Object.values(counters).reduce((sum, count) => sum + count, 0);

/** A document that a rollback left with fields of the application's. */
export interface UndoConflict {
  readonly collection: string;
  readonly id: unknown;
  readonly fields: readonly string[];
  readonly because: string;
  /** Who has its old key in a unique index, where that is why. */
  readonly other?: { readonly id: unknown };
}

/** A document that did not come back exactly, though nothing is in conflict. */
export interface UndoNote {
  readonly collection: string;
  readonly id: unknown;
  readonly result: 'keptFields' | 'goneSince';
}

/** How far the rollback of a chunk has come. */
export interface ChunkUndo {
  /** Number of the batch that was undone last; batches are undone from the newest to 1. */
  readonly seq: number;
  readonly done: boolean;
  /** 1 for the first rollback of the run, 2 for the next (with other rules). */
  readonly round: number;
  readonly counters: UndoCounters;
  /** The first conflicts, at most MAX_LISTED_CONFLICTS. */
  readonly conflicts: readonly UndoConflict[];
  /** The first documents that did not come back exactly otherwise, at most as many. */
  readonly notes: readonly UndoNote[];
}

/** Conflicts kept per chunk: all are counted, these are listed. */
export const MAX_LISTED_CONFLICTS = 100;

/**
 * Ranges come from the plan; `ids` chunks take single documents: `early` ones before their range was there (`--only`),
 * `late` ones after it (catch-up, `retry`, and what verification finds). A rollback goes from late to early.
 */
export type ChunkKind = 'range' | 'ids';
export type When = 'early' | 'late';

/** Their place among the chunks of a step: ranges count from 0. */
export const IDS_CHUNK: Readonly<Record<When, number>> = { early: -2, late: -1 };

/** The chunks of one step in the order in which a document can have met them. */
export interface StepChunks {
  readonly early: readonly Chunk[];
  readonly ranges: readonly Chunk[];
  readonly late: readonly Chunk[];
}

export const chunksOfStep = (chunks: readonly Chunk[], step: number): StepChunks => {
  const own = chunks.filter((chunk) => chunk.step === step);
  return {
    early: own.filter(({ n }) => n === IDS_CHUNK.early),
    ranges: own.filter(({ n }) => n >= 0),
    late: own.filter(({ n }) => n === IDS_CHUNK.late),
  };
};

/** The part of a chunk's range that its cursor has passed; null when it has not begun, or has no range. */
export function passedRange(chunk: Chunk): IdRange | null {
  if (!chunk.range || chunk.state === 'done') return chunk.range;
  return chunk.cursor ? { ...chunk.range, upper: chunk.cursor.id } : null;
}

export interface Chunk {
  readonly _id: string;
  readonly godwit: number;
  readonly run: string;
  readonly step: number;
  readonly n: number;
  readonly kind: ChunkKind;
  readonly range: IdRange | null;
  /** Documents expected in the range, from the sample that cut it. */
  readonly estimate: number;
  readonly state: 'open' | 'done';
  readonly cursor: Cursor | null;
  /** Number of batches committed. */
  readonly seq: number;
  readonly counters: Counters;
  /** Head of the chunk's audit chain, in hex: covers the last batch. */
  readonly chain: string;
  /** The lease that may commit batches here. */
  readonly fence: string;
  readonly at: Date;
  readonly undo: ChunkUndo | null;
}
