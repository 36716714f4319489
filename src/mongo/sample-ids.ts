/** Bounds of chunks: the ends of each bracket of `_id` types, and sampled `_id`s between them. */
import type { Collection, Document } from 'mongodb';
import { BRACKETS, type Bracket, type IdRange, rangeFilter } from '../domain/chunk.js';
import { findField } from '../kernel/raw-bson.js';
import { toTyped } from '../kernel/values.js';
import { rawDocuments } from './raw-documents.js';

/** Sampled `_id`s per chunk: enough that the chunks' sizes differ by less than half (measured on 200,000 documents). */
const SAMPLES_PER_CHUNK = 20;

const typedIdOf = (raw: unknown): unknown => toTyped(raw as Buffer)['_id'];

const aggregateRaw = ({ db, collectionName }: Collection, pipeline: Document[]): AsyncGenerator<Buffer> =>
  rawDocuments(db, { aggregate: collectionName, pipeline, cursor: {}, readConcern: { level: 'local' } });

async function endOf(collection: Collection, bracket: Bracket, direction: 1 | -1): Promise<{ id: unknown } | null> {
  const filter = rangeFilter({ bracket: bracket.name }, null);
  if (!filter) return null;
  const cursor = collection.find(filter, {
    raw: true,
    projection: { _id: 1 },
    sort: { _id: direction },
    limit: 1,
    hint: { _id: 1 },
  });
  const [found] = await cursor.toArray();
  return found ? { id: typedIdOf(found) } : null;
}

/** Brackets that hold documents, with the greatest `_id` of each. */
async function occupied(collection: Collection): Promise<{ bracket: Bracket; greatest: unknown }[]> {
  const found: { bracket: Bracket; greatest: unknown }[] = [];
  for (const bracket of BRACKETS) {
    const last = await endOf(collection, bracket, -1);
    if (last) found.push({ bracket, greatest: last.id });
  }
  return found;
}

const BSON_TYPE_BRACKETS: Readonly<Record<number, string>> = {
  1: 'number',
  2: 'string',
  3: 'object',
  5: 'binary',
  7: 'objectId',
  8: 'bool',
  9: 'date',
  13: 'javascript',
  14: 'string',
  15: 'javascriptWithScope',
  16: 'number',
  17: 'timestamp',
  18: 'number',
  19: 'number',
};

/** Sampled `_id`s by bracket, ascending. Read-only users may sample. */
async function sample(collection: Collection, size: number): Promise<Map<string, unknown[]>> {
  const pipeline: Document[] = [{ $sample: { size } }, { $project: { _id: 1 } }, { $sort: { _id: 1 } }];
  const byBracket = new Map<string, unknown[]>();
  for await (const raw of aggregateRaw(collection, pipeline)) {
    const type = findField(raw, '_id')?.type ?? 0;
    const bracket = BSON_TYPE_BRACKETS[type];
    if (bracket === undefined) continue;
    const ids = byBracket.get(bracket);
    if (ids) ids.push(typedIdOf(raw));
    else byBracket.set(bracket, [typedIdOf(raw)]);
  }
  return byBracket;
}

/** Every n-th sampled `_id` as a bound between chunks. */
function boundsOf(ids: readonly unknown[], perChunk: number): unknown[] {
  const bounds: unknown[] = [];
  for (let at = perChunk; at < ids.length - perChunk / 2; at += perChunk) bounds.push(ids[at]);
  return bounds;
}

/**
 * Cuts the collection's `_id` space into about `chunks` disjoint ranges that hold everything that is there now: the
 * first of a bracket is open below, the last is closed at the greatest `_id`.
 */
export async function sampleRanges(collection: Collection, chunks: number): Promise<IdRange[]> {
  const brackets = await occupied(collection);
  const samples = chunks > 1 ? await sample(collection, chunks * SAMPLES_PER_CHUNK) : new Map<string, unknown[]>();
  return brackets.flatMap(({ bracket, greatest }): IdRange[] => {
    if (bracket.isPoint) return [{ bracket: bracket.name }];
    const bounds = boundsOf(samples.get(bracket.name) ?? [], SAMPLES_PER_CHUNK);
    const uppers = [...bounds, greatest];
    return uppers.map((upper, index) =>
      index === 0 ? { bracket: bracket.name, upper } : { bracket: bracket.name, lower: uppers[index - 1], upper },
    );
  });
}

/** `_id`s of documents chosen at random among those that the filter matches. */
export async function sampleDocumentIds(
  collection: Collection,
  filter: Document | undefined,
  size: number,
): Promise<unknown[]> {
  const pipeline: Document[] = [
    ...(filter ? [{ $match: filter }] : []),
    { $sample: { size } },
    { $project: { _id: 1 } },
  ];
  const ids: unknown[] = [];
  for await (const raw of aggregateRaw(collection, pipeline)) ids.push(typedIdOf(raw));
  return ids;
}
