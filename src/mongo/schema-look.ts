/** What a schema step would meet: looked for before it is done. Reads only. */
import type { Db, Document, Filter } from 'mongodb';
import { describeOperation, type SchemaOperation } from '../domain/schema-operation.js';
import { formatCount } from '../kernel/units.js';
import { isSame, readCollection, readIndexes, validatorIn } from './schema.js';

/** How things are for one step. */
export interface Outlook {
  /** The database is so already: there is nothing to do, and nothing to take back. */
  readonly isThere: boolean;
  /** Why it cannot be done, in words; null when it can. */
  readonly refusal: string | null;
  /** The refusal is about documents: steps before this one may mend it. */
  readonly isOfDocuments: boolean;
  /** What may be meant, and is said. */
  readonly warnings: readonly string[];
  /** `_id`s of documents that the finding is about: the first ones. */
  readonly first: readonly unknown[];
  /** What is there now, for the way back. */
  readonly before: Document;
}

const MAX_FIRST = 5;

const CLEAR: Outlook = { isThere: false, refusal: null, isOfDocuments: false, warnings: [], first: [], before: {} };
const refused = (refusal: string): Outlook => ({ ...CLEAR, refusal });
const missing = (collection: string): Outlook => refused(`found no collection ${collection}`);

type Of<Kind extends SchemaOperation['kind']> = Extract<SchemaOperation, { readonly kind: Kind }>;

async function lookAtCreation(db: Db, { collection }: Of<'createCollection'>): Promise<Outlook> {
  const there = await readCollection(db, collection);
  return there ? refused(`found that ${collection} is there already (a ${there.type})`) : CLEAR;
}

async function lookAtRename(db: Db, { collection, to }: Of<'renameCollection'>): Promise<Outlook> {
  const there = await readCollection(db, collection);
  if (!there) return missing(collection);
  if (there.type !== 'collection') return refused(`found that ${collection} is a ${there.type}`);
  if (await readCollection(db, to)) return refused(`found that ${to} is there already`);
  const warning = `change streams on ${collection} end, and whoever still writes to it makes a new collection of that name`;
  return { ...CLEAR, before: { uuid: there.uuid }, warnings: [warning] };
}

/** What two documents of a unique index may not share, as a stage: its fields, null where they are missing. */
function sameKey(key: Document): Document {
  const fields = Object.keys(key).map((path, at) => [`k${at}`, { $ifNull: [`$${path}`, null] }]);
  return Object.fromEntries(fields) as Document;
}

interface Doubles {
  readonly keys: number;
  readonly first: readonly unknown[];
}

async function countDoubles(db: Db, { collection, key, options }: Of<'createIndex'>): Promise<Doubles> {
  const partial = (options['partialFilterExpression'] ?? {}) as Document;
  const some = { $or: Object.keys(key).map((path) => ({ [path]: { $exists: true } })) };
  const match = options['sparse'] ? { $and: [partial, some] } : partial;
  const [found] = await db
    .collection(collection)
    .aggregate(
      [
        { $match: match },
        { $group: { _id: sameKey(key), count: { $sum: 1 }, first: { $min: '$_id' } } },
        { $match: { count: { $gt: 1 } } },
        { $group: { _id: null, keys: { $sum: 1 }, first: { $firstN: { input: '$first', n: MAX_FIRST } } } },
      ],
      {
        allowDiskUse: true,
        promoteValues: false,
        ...(options['collation'] ? { collation: options['collation'] } : {}),
      },
    )
    .toArray();
  return { keys: Number(found?.['keys'] ?? 0), first: (found?.['first'] ?? []) as unknown[] };
}

/** Options that make an index another one: the server compares them, too. */
const TELLING = ['unique', 'sparse', 'partialFilterExpression', 'expireAfterSeconds', 'hidden'];
/** … and those by which it may stand beside another one of the same key (as measured on MongoDB 6.0.5). */
const APART = ['unique', 'sparse', 'partialFilterExpression', 'collation'];

const plain = (value: unknown): string => JSON.stringify(value ?? null);

const isSameKey = (there: Document, { key }: Of<'createIndex'>): boolean =>
  plain(Object.entries(there['key'])) === plain(Object.entries(key));

const isSameIndex = (there: Document, operation: Of<'createIndex'>): boolean =>
  isSameKey(there, operation) &&
  TELLING.every((name) => plain(there[name] || null) === plain(operation.options[name] || null));

/** The server fills a collation in: what was asked for is compared. */
function isSameOption(there: unknown, wanted: unknown): boolean {
  if (there === null || typeof there !== 'object' || wanted === null || typeof wanted !== 'object')
    return plain(there || null) === plain(wanted || null);
  return Object.entries(wanted).every(([name, value]) => plain((there as Document)[name]) === plain(value));
}

const isText = (key: Document): boolean => Object.values(key).includes('text');

/** An index that the server would not have beside the wanted one; undefined: none. */
function inTheWay(indexes: readonly Document[], operation: Of<'createIndex'>): string | undefined {
  const { options, key } = operation;
  const twin = indexes.find(
    (index) => isSameKey(index, operation) && APART.every((name) => isSameOption(index[name], options[name])),
  );
  if (twin) return `found the index ${twin['name']} with the same key`;
  const text = isText(key) ? indexes.find((index) => index['key']['_fts'] === 'text') : undefined;
  return text && `found the text index ${text['name']}: a collection has one at most`;
}

/** How many arrays a document has in the key, as an expression: values inside one array are in one. */
function arraysIn(key: Document): Document {
  const tops = new Map<string, string[]>();
  for (const path of Object.keys(key)) {
    const [top = path] = path.split('.');
    tops.set(top, [...(tops.get(top) ?? []), path]);
  }
  const one = (path: string): Document => ({ $cond: [{ $isArray: `$${path}` }, 1, 0] });
  return {
    $add: [...tops].map(([top, paths]) => ({ $cond: [{ $isArray: `$${top}` }, 1, { $add: paths.map(one) }] })),
  };
}

/** Documents that an index cannot take, by what is in them; null where every one can be. */
async function arraysInTheWay(db: Db, { collection, key }: Of<'createIndex'>): Promise<Outlook | null> {
  const isHashed = Object.values(key).includes('hashed');
  const isCompound = Object.keys(key).length > 1 && !isText(key) && !('$**' in key);
  if (!isHashed && !isCompound) return null;
  const filter = { $expr: { $gt: [arraysIn(key), isHashed ? 0 : 1] } } as Filter<Document>;
  const count = await db.collection(collection).countDocuments(filter);
  if (count === 0) return null;
  const first = await db
    .collection(collection)
    .find(filter, { projection: { _id: 1 }, promoteValues: false, limit: MAX_FIRST })
    .toArray();
  const documents = `${formatCount(count)} ${count === 1 ? 'document' : 'documents'} of ${collection}`;
  const refusal = `found ${documents} with ${isHashed ? 'an array' : 'arrays in two of its fields'}, which the index cannot take`;
  return { ...CLEAR, refusal, first: first.map(({ _id }) => _id), isOfDocuments: true };
}

async function doublesInTheWay(db: Db, operation: Of<'createIndex'>): Promise<Outlook | null> {
  if (!operation.options['unique']) return null;
  const { keys, first } = await countDoubles(db, operation);
  if (keys === 0) return null;
  const several = keys === 1 ? 'a key' : `${formatCount(keys)} keys`;
  const refusal = `found ${several} in ${operation.collection} that more than one document has`;
  return { ...CLEAR, refusal, first, isOfDocuments: true };
}

/** Documents whose date has passed: an array counts by its least one. */
async function countExpired(db: Db, { collection, key, options }: Of<'createIndex'>): Promise<number> {
  const [path] = Object.keys(key);
  const seconds: unknown = options['expireAfterSeconds'];
  if (path === undefined || typeof seconds !== 'number') return 0;
  const limit = { $subtract: ['$$NOW', seconds * 1_000] };
  const partial = (options['partialFilterExpression'] ?? {}) as Document;
  const date = { $cond: [{ $isArray: `$${path}` }, { $min: `$${path}` }, `$${path}`] };
  const expired = { $expr: { $and: [{ $eq: [{ $type: date }, 'date'] }, { $lt: [date, limit] }] } };
  return db.collection(collection).countDocuments({ $and: [partial, expired] } as Filter<Document>);
}

const isOfPlaces = ({ key }: Of<'createIndex'>): boolean =>
  Object.values(key).some((kind) => kind === '2dsphere' || kind === '2d');

async function lookAtIndex(db: Db, operation: Of<'createIndex'>, gone: ReadonlySet<string>): Promise<Outlook> {
  const { collection, name } = operation;
  // The server would make one.
  if (!(await readCollection(db, collection))) return missing(collection);
  const indexes = (await readIndexes(db, collection)).filter((index) => !gone.has(String(index['name'])));
  const named = indexes.find((index) => String(index['name']) === name);
  if (named)
    return isSameIndex(named, operation)
      ? { ...CLEAR, isThere: true }
      : refused(`found another index of that name on ${collection}`);
  const other = inTheWay(indexes, operation);
  if (other !== undefined) return refused(other);
  const documents = (await arraysInTheWay(db, operation)) ?? (await doublesInTheWay(db, operation));
  if (documents) return documents;
  const expired = await countExpired(db, operation);
  if (expired > 0)
    return {
      ...CLEAR,
      warnings: [
        `${formatCount(expired)} ${expired === 1 ? 'document' : 'documents'} of ${collection} would be DELETED at once by this TTL index: the date has passed`,
      ],
    };
  const unseen = `not checked: whether every document of ${collection} has a place that the index can take`;
  return isOfPlaces(operation) ? { ...CLEAR, warnings: [unseen] } : CLEAR;
}

async function lookAtDrop(db: Db, { collection, name }: Of<'dropIndex'>): Promise<Outlook> {
  const indexes = await readIndexes(db, collection);
  const there = indexes.find((index) => String(index['name']) === name);
  if (there) return { ...CLEAR, before: there };
  const names = indexes.map((index) => String(index['name'])).join(', ');
  return refused(`found no such index${names === '' ? '' : ` (there are ${names})`}`);
}

/** The validator as the command takes it. */
export const wantedValidator = ({ validator, level, action }: Of<'setValidator'>): Document => ({
  validator,
  validationLevel: level,
  validationAction: action,
});

async function lookAtValidator(db: Db, operation: Of<'setValidator'>): Promise<Outlook> {
  const { collection, validator, level, action } = operation;
  const there = await readCollection(db, collection);
  if (!there) return missing(collection);
  const before = validatorIn(there);
  if (isSame(before, wantedValidator(operation))) return { ...CLEAR, isThere: true };
  const against = { $nor: [validator] } as Filter<Document>;
  const count = Object.keys(validator).length === 0 ? 0 : await db.collection(collection).countDocuments(against);
  if (count === 0) return { ...CLEAR, before };
  const found = await db
    .collection(collection)
    .find(against, { projection: { _id: 1 }, promoteValues: false, limit: MAX_FIRST })
    .toArray();
  const what = `${formatCount(count)} documents of ${collection} do not fit the validator`;
  const then =
    action === 'error' && level === 'strict' ? `${what}: no update of them will be taken that leaves them so` : what;
  return { ...CLEAR, before, warnings: [then], first: found.map(({ _id }) => _id) };
}

const NO_INDEXES: ReadonlySet<string> = new Set();

/**
 * @param gone names of indexes that will be dropped before
 * @throws what the server says of a validator or a filter that it does not understand
 */
export async function lookAt(
  db: Db,
  operation: SchemaOperation,
  gone: ReadonlySet<string> = NO_INDEXES,
): Promise<Outlook> {
  switch (operation.kind) {
    case 'createCollection':
      return lookAtCreation(db, operation);
    case 'renameCollection':
      return lookAtRename(db, operation);
    case 'createIndex':
      return lookAtIndex(db, operation, gone);
    case 'dropIndex':
      return lookAtDrop(db, operation);
    default:
      return lookAtValidator(db, operation);
  }
}

/** What was wanted and found, as an error says it. */
export const refusalOf = (operation: SchemaOperation, { refusal }: Outlook): string =>
  `wanted to ${describeOperation(operation)}, ${refusal ?? 'found that it can be done'}`;

export const hasIndex = async (db: Db, collection: string, name: string): Promise<boolean> =>
  (await readIndexes(db, collection)).some((index) => String(index['name']) === name);

export async function hasValidator(db: Db, collection: string, validator: Document): Promise<boolean> {
  const there = await readCollection(db, collection);
  return there !== null && isSame(validatorIn(there), validator);
}

/**
 * True when the change is there.
 *
 * @param before what was there before it, as `lookAt` found it
 */
export async function isCarriedOut(db: Db, operation: SchemaOperation, before: Document): Promise<boolean> {
  const { collection } = operation;
  switch (operation.kind) {
    case 'createCollection':
      return (await readCollection(db, collection)) !== null;
    case 'renameCollection':
      return (await readCollection(db, operation.to))?.uuid === String(before['uuid']);
    case 'createIndex':
      return (await lookAt(db, operation)).isThere;
    case 'dropIndex':
      return !(await hasIndex(db, collection, operation.name));
    default:
      return hasValidator(db, collection, wantedValidator(operation));
  }
}
