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

function isSameIndex(there: Document, { key, options }: Of<'createIndex'>): boolean {
  const plain = (value: unknown): string => JSON.stringify(value ?? null);
  const isSameKey = plain(Object.entries(there['key'])) === plain(Object.entries(key));
  return isSameKey && TELLING.every((name) => plain(there[name] || null) === plain(options[name] || null));
}

async function lookAtIndex(db: Db, operation: Of<'createIndex'>): Promise<Outlook> {
  const { collection, name, options } = operation;
  // The server would make one.
  if (!(await readCollection(db, collection))) return missing(collection);
  const named = (await readIndexes(db, collection)).find((index) => String(index['name']) === name);
  if (named)
    return isSameIndex(named, operation)
      ? { ...CLEAR, isThere: true }
      : refused(`found another index of that name on ${collection}`);
  if (!options['unique']) return CLEAR;
  const { keys, first } = await countDoubles(db, operation);
  if (keys === 0) return CLEAR;
  const several = keys === 1 ? 'a key' : `${formatCount(keys)} keys`;
  const refusal = `found ${several} in ${collection} that more than one document has`;
  return { ...CLEAR, refusal, first, isOfDocuments: true };
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

/** @throws what the server says of a validator or a filter that it does not understand */
export async function lookAt(db: Db, operation: SchemaOperation): Promise<Outlook> {
  switch (operation.kind) {
    case 'createCollection':
      return lookAtCreation(db, operation);
    case 'renameCollection':
      return lookAtRename(db, operation);
    case 'createIndex':
      return lookAtIndex(db, operation);
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
