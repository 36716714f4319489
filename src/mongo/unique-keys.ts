/** Unique indexes, and whether the documents that a migration changes would collide in them. Reads only. */
import type { Collection, Document, Filter } from 'mongodb';
import type { Doc } from '../kernel/values.js';
import { toBytes } from '../kernel/values.js';

export interface UniqueIndex {
  readonly name: string;
  readonly fields: readonly string[];
  readonly sparse: boolean;
}

export interface UniqueIndexes {
  readonly checkable: readonly UniqueIndex[];
  /** Names of those that cannot be judged from outside (partial, collated, hashed): said, not guessed. */
  readonly unchecked: readonly string[];
}

export async function readUniqueIndexes(collection: Collection): Promise<UniqueIndexes> {
  const unique = (await collection.indexes()).filter((index) => index['unique'] === true && index.name !== '_id_');
  const isCheckable = (index: Document): boolean =>
    !index['partialFilterExpression'] &&
    !index['collation'] &&
    Object.values(index['key'] as Document).every((kind) => kind === 1 || kind === -1);
  return {
    checkable: unique.filter(isCheckable).map((index) => ({
      name: String(index.name),
      fields: Object.keys(index.key as Document),
      sparse: index['sparse'] === true,
    })),
    unchecked: unique.filter((index) => !isCheckable(index)).map((index) => String(index.name)),
  };
}

function valueAt(document: Doc, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (at, name) => (at !== null && typeof at === 'object' && !Array.isArray(at) ? (at as Doc)[name] : undefined),
      document,
    );
}

/** The key of a document in an index, or undefined when it has none (sparse) or more than one (arrays). */
export function keyOf(
  index: UniqueIndex,
  document: Doc,
): { readonly text: string; readonly filter: Document } | undefined {
  const values = index.fields.map((path) => valueAt(document, path));
  if (values.some(Array.isArray)) return undefined;
  if (index.sparse && values.every((value) => value === undefined)) return undefined;
  const text = values
    .map((value) => (typeof value === 'number' ? `n${value}` : toBytes(new Map([['', value ?? null]])).toString('hex')))
    .join('/');
  return { text, filter: Object.fromEntries(index.fields.map((path, at) => [path, { $eq: values[at] ?? null }])) };
}

/** Documents that hold one of the keys now. */
export function holdersOf(collection: Collection, index: UniqueIndex, keys: readonly Document[]): Promise<Document[]> {
  const [field] = index.fields;
  const filter: Document =
    index.fields.length === 1 && field !== undefined
      ? { [field]: { $in: keys.map((key) => (key[field] as { $eq: unknown }).$eq) } }
      : { $or: keys };
  return collection.find(filter as Filter<Document>, { raw: true }).toArray();
}
