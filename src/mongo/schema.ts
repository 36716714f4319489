/** Collections and indexes as they are, with the exact types of their definitions, and what changes them. */
import type { Db, Document, MongoClient } from 'mongodb';
import type { SchemaOperation } from '../domain/schema-operation.js';
import { type Doc, toBytes, toTyped } from '../kernel/values.js';
import { codeOf } from './server-errors.js';

/** Numbers keep their BSON types: an index of `{ a: 1.0 }` is built again as that. */
const TYPED = { promoteValues: false, promoteLongs: false } as const;
const NAMESPACE_NOT_FOUND = 26;
const NAMESPACE_EXISTS = 48;

/** A collection as the server lists it. */
export interface CollectionFacts {
  readonly uuid: string;
  readonly type: string;
  readonly options: Document;
}

export async function readCollection(db: Db, name: string): Promise<CollectionFacts | null> {
  const reply: Document = await db.command({ listCollections: 1, filter: { name } }, TYPED);
  const [found] = reply['cursor'].firstBatch as Document[];
  if (!found) return null;
  const uuid: { readonly buffer: Uint8Array } | undefined = found['info']?.uuid;
  return {
    uuid: uuid ? Buffer.from(uuid.buffer).toString('hex') : '',
    type: String(found['type']),
    options: (found['options'] ?? {}) as Document,
  };
}

/** The indexes of a collection; none where it is not there. */
export async function readIndexes(db: Db, collection: string): Promise<Document[]> {
  try {
    const reply: Document = await db.command({ listIndexes: collection }, TYPED);
    return reply['cursor'].firstBatch as Document[];
  } catch (error) {
    if (codeOf(error) === NAMESPACE_NOT_FOUND) return [];
    throw error;
  }
}

/** The same definition, to the type of each value. */
export const isSame = (a: unknown, b: unknown): boolean =>
  toBytes({ value: a } as Doc).equals(toBytes({ value: b } as Doc));

/** As it is kept with a run, and back. */
export const packed = (document: Document): Buffer => toBytes(document as Doc);
export const unpacked = (bytes: Uint8Array): Document => toTyped(bytes) as Document;

/** As the server has it: where a validator is missing, that is `{}`. */
export function validatorIn({ options }: CollectionFacts): Document {
  return {
    validator: (options['validator'] ?? {}) as Document,
    validationLevel: (options['validationLevel'] ?? 'strict') as string,
    validationAction: (options['validationAction'] ?? 'error') as string,
  };
}

type Of<Kind extends SchemaOperation['kind']> = Extract<SchemaOperation, { readonly kind: Kind }>;

export async function createCollection(db: Db, { collection, options }: Of<'createCollection'>): Promise<void> {
  await db.createCollection(collection, { ...options, writeConcern: { w: 'majority' } });
}

export async function rename(db: Db, from: string, to: string): Promise<void> {
  await db.admin().command({
    renameCollection: `${db.databaseName}.${from}`,
    to: `${db.databaseName}.${to}`,
    writeConcern: { w: 'majority' },
  });
}

/** Builds an index from its definition; one that is there, or being built, is waited for. */
export async function buildIndex(db: Db, collection: string, definition: Document): Promise<void> {
  await db.command({ createIndexes: collection, indexes: [definition], writeConcern: { w: 'majority' } });
}

export async function dropIndex(db: Db, collection: string, name: string): Promise<void> {
  await db.command({ dropIndexes: collection, index: name, writeConcern: { w: 'majority' } });
}

export async function setValidator(db: Db, collection: string, validator: Document): Promise<void> {
  await db.command({ collMod: collection, ...validator, writeConcern: { w: 'majority' } });
}

/** How far the build of an index is, in documents; null when none goes on, or it may not be asked. */
export async function readBuild(
  client: MongoClient,
  namespace: string,
  name: string,
): Promise<{ readonly done: number; readonly total: number } | null> {
  const pipeline = [
    { $currentOp: { allUsers: true, idleConnections: false } },
    { $match: { ns: namespace, 'command.createIndexes': { $exists: true }, 'command.indexes.name': name } },
  ];
  const operations = await client
    .db('admin')
    .aggregate(pipeline)
    .toArray()
    .catch(() => []);
  const progress = operations.find((one) => one['progress'])?.['progress'] as
    | { readonly done: unknown; readonly total: unknown }
    | undefined;
  return progress ? { done: Number(progress.done), total: Number(progress.total) } : null;
}

/**
 * Drops a collection that is empty. Renamed first: whoever writes to it in that moment makes a new one, whose documents
 * stay, instead of losing them with the old one. Goes on where an earlier call has died.
 *
 * @param aside the name for that moment
 * @returns false when it was not empty, and is there as before
 */
export async function dropEmpty(db: Db, name: string, aside: string): Promise<boolean> {
  const holds = async (collection: string): Promise<boolean> =>
    (await db.collection(collection).findOne({}, { projection: { _id: 1 } })) !== null;
  if (!(await readCollection(db, aside))) {
    if (await holds(name)) return false;
    await rename(db, name, aside);
  }
  if (!(await holds(aside))) {
    await db.collection(aside).drop({ writeConcern: { w: 'majority' } });
    return (await readCollection(db, name)) === null;
  }
  await rename(db, aside, name).catch(async (error: unknown) => {
    if (codeOf(error) !== NAMESPACE_EXISTS) throw error;
    // Both have documents now: those that came first join the others.
    const into = { into: name, on: '_id', whenMatched: 'keepExisting', whenNotMatched: 'insert' };
    await db
      .collection(aside)
      .aggregate([{ $merge: into }])
      .toArray();
    await db.collection(aside).drop({ writeConcern: { w: 'majority' } });
  });
  return false;
}
