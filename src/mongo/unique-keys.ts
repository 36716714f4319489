/** Unique indexes, and whether the documents that a migration changes would collide in them. Reads only. */
import { type Collection, type Document, type Filter, MongoServerError } from 'mongodb';
import { portions } from '../kernel/portions.js';
import { bsonType, type Doc, toBytes } from '../kernel/values.js';

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

/** @param indexes as the server lists them, or as they will be made */
export function uniqueAmong(indexes: readonly Document[]): UniqueIndexes {
  const unique = indexes.filter((index) => index['unique'] === true && index['name'] !== '_id_');
  const isCheckable = (index: Document): boolean =>
    !index['partialFilterExpression'] &&
    !index['collation'] &&
    Object.values(index['key'] as Document).every((kind) => kind === 1 || kind === -1);
  return {
    checkable: unique.filter(isCheckable).map((index) => ({
      name: String(index['name']),
      fields: Object.keys(index['key'] as Document),
      sparse: index['sparse'] === true,
    })),
    unchecked: unique.filter((index) => !isCheckable(index)).map((index) => String(index['name'])),
  };
}

const SEVERAL = Symbol('a path through an array');

function valueAt(document: Doc, path: string): unknown {
  return path.split('.').reduce<unknown>((at, name) => {
    if (at === SEVERAL || Array.isArray(at)) return SEVERAL;
    return at !== null && typeof at === 'object' ? (at as Doc)[name] : undefined;
  }, document);
}

export interface IndexKey {
  /** Equal exactly when the index takes two keys for the same. */
  readonly text: string;
  readonly filter: Document;
  readonly bytes: number;
}

/** Numbers are the same key whatever their type, where JavaScript can tell. */
function keyText(value: unknown): { readonly text: string; readonly bytes: number } {
  const bytes = toBytes(new Map([['', value ?? null]]));
  const number = bsonType(value) === 'Decimal128' ? Number(String(value)) : value;
  const isNumber = typeof number === 'number' && (number === value || Number.isSafeInteger(number));
  return { text: isNumber ? `n${number}` : bytes.toString('hex'), bytes: bytes.length };
}

/** The key of a document in an index; `none` when it has none (sparse), `several` when it may have (arrays). */
export function keyOf(index: UniqueIndex, document: Doc): IndexKey | 'none' | 'several' {
  const values = index.fields.map((path) => valueAt(document, path));
  if (values.includes(SEVERAL) || values.some(Array.isArray)) return 'several';
  if (index.sparse && values.every((value) => value === undefined)) return 'none';
  const texts = values.map(keyText);
  return {
    text: texts.map(({ text }) => text).join('/'),
    filter: Object.fromEntries(index.fields.map((path, at) => [path, { $eq: values[at] ?? null }])),
    bytes: texts.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Keys in one question, in bytes: a message holds 16 MiB. */
const MAX_QUESTION_BYTES = 6 * 1024 * 1024;

/** Documents that hold one of the keys now, as bytes. */
export async function holdersOf(
  collection: Collection,
  index: UniqueIndex,
  keys: readonly IndexKey[],
): Promise<Buffer[]> {
  const [field] = index.fields;
  const holders: Buffer[] = [];
  for (const portion of portions(keys, ({ bytes }) => bytes, MAX_QUESTION_BYTES)) {
    const filter: Document =
      index.fields.length === 1 && field !== undefined
        ? { [field]: { $in: portion.map((key) => (key.filter[field] as { $eq: unknown }).$eq) } }
        : { $or: portion.map((key) => key.filter) };
    const found = await collection.find(filter as Filter<Document>, { raw: true }).toArray();
    holders.push(...(found as unknown as Buffer[]));
  }
  return holders;
}

/**
 * Who has the key that a duplicate-key error is about: asked by the values in the error, which go nowhere else. Null
 * where they are not the stored ones (a collation), or nobody has it any more (a document of the same batch).
 */
export async function findHolder(collection: Collection, error: unknown): Promise<{ readonly id: unknown } | null> {
  const keyValue: unknown = error instanceof MongoServerError ? error['keyValue'] : undefined;
  if (keyValue === null || typeof keyValue !== 'object') return null;
  const filter = Object.fromEntries(Object.entries(keyValue).map(([path, value]) => [path, { $eq: value as unknown }]));
  const found = await collection.findOne(filter as Filter<Document>, { projection: { _id: 1 }, promoteValues: false });
  return found && { id: found._id as unknown };
}
