/** `lookup` of a transform: one query per lookup and batch, in the batch's snapshot. */
import type { ClientSession, Db, Document } from 'mongodb';
import type { LookupTable, StepLookup } from '../domain/migration.js';
import { Given, GivenIndex } from '../domain/origins.js';
import { valuesAt } from '../kernel/paths.js';
import { bsonType, deepFreeze, toBytes, toPlain } from '../kernel/values.js';
import type { CanonicalsOf } from './read-batch.js';

export type Lookups = Readonly<Record<string, LookupTable<Document>>>;

const NUMBERS: readonly unknown[] = ['Int32', 'Double', 'Long'];

/** A key under which values meet that the server calls equal: numbers by value, the rest by type and bytes. */
export function keyOf(value: unknown): string {
  if (typeof value === 'number') return `n:${value === 0 ? 0 : value}`;
  if (typeof value === 'bigint') return `n:${value}`;
  const type = bsonType(value);
  if (NUMBERS.includes(type)) return type === 'Long' ? `n:${value}` : keyOf(Number(value));
  const bytes = toBytes(new Map([['', value]]));
  return bytes.toString('hex', 4);
}

class Table implements LookupTable<Document> {
  readonly #found = new Map<string, Document[]>();
  readonly given: Given[] = [];

  add(key: string, document: Document): void {
    const others = this.#found.get(key);
    if (others) others.push(document);
    else this.#found.set(key, [document]);
  }

  get(value: unknown): Document | undefined {
    return this.#found.get(keyOf(value))?.[0];
  }

  all(value: unknown): readonly Document[] {
    return this.#found.get(keyOf(value)) ?? [];
  }
}

/** Documents that each lookup has found, by ascending `_id`. */
export type FoundDocuments = Readonly<Record<string, readonly Buffer[]>>;

/** Rows of the id map, as documents: `{ _id: canonical, id }`. */
async function readMerged(
  canonicals: CanonicalsOf | undefined,
  collections: { readonly from: string; readonly into: string },
  values: readonly unknown[],
  session?: ClientSession,
): Promise<Buffer[]> {
  const found = (await canonicals?.(collections, values, session)) ?? [];
  return found.map(({ id, canonical }) =>
    toBytes(
      new Map([
        ['_id', canonical],
        ['id', id],
      ]),
    ),
  );
}

/** Where lookups are read. */
export interface LookIn {
  readonly db: Db;
  readonly canonicals?: CanonicalsOf;
}

async function readLookup(
  { db, canonicals }: LookIn,
  spec: StepLookup,
  documents: readonly Document[],
  session?: ClientSession,
): Promise<Buffer[]> {
  const path = spec.localField.split('.');
  const wanted = new Map<string, unknown>();
  for (const document of documents)
    for (const value of valuesAt(document, path)) if (value !== null) wanted.set(keyOf(value), value);
  if (wanted.size === 0) return [];
  if (spec.merged !== undefined)
    return readMerged(canonicals, { from: spec.merged, into: spec.from }, [...wanted.values()], session);
  const cursor = db.collection(spec.from).find(
    { [spec.foreignField]: { $in: [...wanted.values()] } },
    {
      raw: true,
      sort: { _id: 1 },
      ...(spec.keysOnly ? { projection: { [spec.foreignField]: 1 } } : {}),
      ...(session ? { session } : {}),
    },
  );
  const found: Buffer[] = [];
  for await (const raw of cursor as AsyncIterable<unknown>) found.push(raw as Buffer);
  return found;
}

/** What every lookup of a step finds for these documents. */
export async function readLookups(
  place: LookIn,
  specs: Readonly<Record<string, StepLookup>>,
  documents: readonly Document[],
  session?: ClientSession,
): Promise<FoundDocuments> {
  const found: Record<string, Buffer[]> = {};
  for (const [name, spec] of Object.entries(specs)) found[name] = await readLookup(place, spec, documents, session);
  return found;
}

function tableOf({ foreignField }: StepLookup, raws: readonly Buffer[]): Table {
  const table = new Table();
  const foreign = foreignField.split('.');
  for (const raw of raws) {
    const document = deepFreeze(toPlain(raw));
    table.given.push(new Given(document, raw));
    for (const key of new Set(valuesAt(document, foreign).map(keyOf))) table.add(key, document);
  }
  return table;
}

/** The tables that a transform is given. */
export const tablesOf = (specs: Readonly<Record<string, StepLookup>>, found: FoundDocuments): Lookups =>
  Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, tableOf(spec, found[name] ?? [])]));

/** The documents that a transform can find in its tables. */
export const givenBy = (lookups: Lookups): GivenIndex =>
  new GivenIndex(() => Object.values(lookups).flatMap((table) => (table instanceof Table ? table.given : [])));
