/**
 * The `migrations_idmap` collection, read only: for each document that a merge knows, which canonical document it has
 * become part of. Rows of the canonical collection's own documents are there for their keys.
 */
import { createHash } from 'node:crypto';
import type { Binary, ClientSession, Document, Filter } from 'mongodb';
import { type IdRange, rangeFilter } from '../domain/chunk.js';
import type { Elements } from '../domain/mapped.js';
import { keyOf } from '../domain/stored-document.js';
import { elementsOf } from '../kernel/raw-bson.js';
import type { CanonicalsOf } from './read-batch.js';
import type { State } from './state.js';

export interface IdMapRow {
  /** Of the run, the step, and a hash of the collection and the `_id`. */
  readonly _id: string;
  readonly godwit: number;
  readonly run: string;
  readonly step: number;
  /** The collection of the document; of the canonical collection's own, that one. */
  readonly from: string;
  /** Its `_id`, exactly. */
  readonly id: unknown;
  readonly into: string;
  /** `_id` of the canonical document, exactly. */
  readonly canonical: unknown;
  /** What it has in common with others, hashed. Null: `map` failed, and it is nobody's double until it does not. */
  readonly keys: readonly string[] | null;
  /** The place in the group: the least is merged first. */
  readonly order: number;
  /** The first source document of its group in the plan: a run goes from one to the next. */
  readonly leads?: true;
  /** Its elements as they were last merged, as a document; null before that. */
  readonly merged: Binary | null;
  /** The run has removed it, behind the merge. */
  readonly removed?: true;
  /** It was there when the run was planned. */
  readonly planned: boolean;
}

/** Whose rows. */
export interface RowsOf {
  readonly run: string;
  readonly step: number;
}

export function rowId({ run, step }: RowsOf, from: string, id: unknown): string {
  const digest = createHash('sha256')
    .update(`${from}\0${keyOf(id)}`)
    .digest('hex');
  return `${run}/${step}/${digest.slice(0, 32)}`;
}

/** The elements that a row keeps. */
export function mergedOf({ merged }: Pick<IdMapRow, 'merged'>): Elements | null {
  if (!merged) return null;
  return elementsOf(Buffer.from(merged.buffer.buffer, merged.buffer.byteOffset, merged.position));
}

const exactly = (session?: ClientSession) => ({ promoteValues: false, ...(session ? { session } : {}) });

/** What `promoteValues: false` leaves of the row's own numbers. */
const plainly = (row: IdMapRow): IdMapRow => ({ ...row, step: Number(row.step), order: Number(row.order) });

async function find(state: State, filter: Filter<IdMapRow>, session?: ClientSession): Promise<IdMapRow[]> {
  return (await state.idMap.find(filter, exactly(session)).toArray()).map(plainly);
}

/** The first in the plan first; those that came later by their rows. */
const byPlace = (a: IdMapRow, b: IdMapRow): number => a.order - b.order || (a._id < b._id ? -1 : 1);

/** Source documents of these canonical ones, in the order in which they are merged. */
export async function readMembers(
  state: State,
  { run, step }: RowsOf,
  canonicals: readonly unknown[],
  session?: ClientSession,
): Promise<IdMapRow[]> {
  const filter = { run, step, canonical: { $in: [...canonicals] } } as Filter<IdMapRow>;
  const rows = (await find(state, filter, session)).filter(({ from, into }) => from !== into);
  return rows.sort(byPlace);
}

/** Rows of these documents of a collection, by the keys of their `_id`s. */
export async function readRows(
  state: State,
  of: RowsOf,
  from: string,
  ids: readonly unknown[],
  session?: ClientSession,
): Promise<Map<string, IdMapRow>> {
  const rows = await find(state, { _id: { $in: ids.map((id) => rowId(of, from, id)) } }, session);
  return new Map(rows.map((row) => [keyOf(row.id), row]));
}

/** Those that share any of the keys, the first in the plan first. */
export async function readByKeys(
  state: State,
  { run, step }: RowsOf,
  keys: readonly string[],
  session?: ClientSession,
): Promise<IdMapRow[]> {
  const rows = await find(state, { run, step, keys: { $in: [...keys] } } as Filter<IdMapRow>, session);
  return rows.sort(byPlace);
}

/** The next canonical `_id`s of the plan in a range, ascending. */
export async function readCanonicals(
  state: State,
  { run, step }: RowsOf,
  range: Document,
  limit: number,
  session?: ClientSession,
): Promise<unknown[]> {
  const filter = { run, step, leads: true, canonical: range['_id'] } as Filter<IdMapRow>;
  const cursor = state.idMap.find(filter, {
    ...exactly(session),
    projection: { canonical: 1 },
    sort: { canonical: 1 },
    hint: 'leads',
    limit,
  });
  return (await cursor.toArray()).map(({ canonical }) => canonical);
}

/** Every row of a step, in portions by their keys. */
export async function* walkRows(state: State, { run, step }: RowsOf, limit: number): AsyncGenerator<IdMapRow[]> {
  let after = `${run}/${step}/`;
  const end = `${run}/${step}0`; // '0' follows '/'
  for (;;) {
    const cursor = state.idMap.find({ _id: { $gt: after, $lt: end } }, { ...exactly(), sort: { _id: 1 }, limit });
    const rows = (await cursor.toArray()).map(plainly);
    const last = rows.at(-1);
    if (!last) return;
    yield rows;
    after = last._id;
  }
}

/** Bounds of ranges of the plan's canonical `_id`s: every `distance`-th of a bracket, and the last. */
export async function rangesOf(
  state: State,
  { run, step }: RowsOf,
  brackets: readonly { readonly name: string; readonly isPoint: boolean }[],
  distance: number,
): Promise<{ readonly range: IdRange; readonly count: number }[]> {
  const ranges: { range: IdRange; count: number }[] = [];
  for (const { name, isPoint } of brackets) {
    const filter = rangeFilter({ bracket: name }, null);
    if (!filter) continue;
    const cursor = state.idMap.find({ run, step, leads: true, canonical: filter['_id'] } as Filter<IdMapRow>, {
      ...exactly(),
      projection: { canonical: 1 },
      sort: { canonical: 1 },
      hint: 'leads',
    });
    let lower: { readonly id: unknown } | null = null;
    let last: { readonly id: unknown } | null = null;
    let count = 0;
    const close = (): void => {
      if (!last) return;
      const range = isPoint
        ? { bracket: name }
        : { bracket: name, ...(lower ? { lower: lower.id } : {}), upper: last.id };
      ranges.push({ range, count });
      lower = last;
      [last, count] = [null, 0];
    };
    for await (const { canonical } of cursor) {
      last = { id: canonical };
      count += 1;
      if (count >= distance) close();
    }
    close();
  }
  return ranges;
}

/** How many keys stand for several canonical documents: doubles that were there before, or came since. */
export async function countSharedKeys(state: State, { run, step }: RowsOf): Promise<number> {
  const [found] = await state.idMap
    .aggregate<{ readonly count: number }>(
      [
        { $match: { run, step, 'keys.0': { $exists: true } } },
        { $unwind: '$keys' },
        { $group: { _id: '$keys', canonicals: { $addToSet: '$canonical' } } },
        { $match: { 'canonicals.1': { $exists: true } } },
        { $count: 'count' },
      ],
      { allowDiskUse: true },
    )
    .toArray();
  return Number(found?.count ?? 0);
}

/** Keys of the canonical collection's own documents that were there when the run was planned. */
export async function plannedTargets(state: State, { run, step }: RowsOf): Promise<Set<string>> {
  const filter = { run, step, planned: true, $expr: { $eq: ['$from', '$into'] } } as Filter<IdMapRow>;
  const keys = new Set<string>();
  for await (const { id } of state.idMap.find(filter, { ...exactly(), projection: { id: 1 } })) keys.add(keyOf(id));
  return keys;
}

/** What the merges that stand have made of documents. Rows of a planner that died before there was a run are none. */
export const canonicalsIn =
  ({ idMap, runs }: State): CanonicalsOf =>
  async ({ from, into }, ids, session) => {
    const filter = { from, into, id: { $in: [...ids] } } as Filter<IdMapRow>;
    const projection = { _id: 0, run: 1, id: 1, canonical: 1 };
    const rows = await idMap.find(filter, { ...exactly(session), projection, sort: { canonical: 1 } }).toArray();
    const planned = [...new Set(rows.map(({ run }) => run))];
    if (planned.length === 0) return [];
    const standing = { _id: { $in: planned }, current: true };
    const found = await runs.find(standing, { projection: { _id: 1 }, ...(session ? { session } : {}) }).toArray();
    const known = new Set(found.map(({ _id }) => _id));
    return rows.filter(({ run }) => known.has(run));
  };
