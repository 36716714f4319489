/** The collections that a migration is to change: what they are, and whether they can be changed. */
import type { Db, Document } from 'mongodb';
import { GodwitError } from '../errors.js';
import { didYouMean } from '../kernel/nearest.js';

export interface Target {
  readonly name: string;
  /** UUID in hex, without dashes. */
  readonly uuid: string;
  readonly kind: 'collection' | 'view' | 'timeseries' | 'capped';
  readonly validator: Document | null;
  readonly validationLevel: 'strict' | 'moderate' | 'off';
  readonly validationAction: 'error' | 'warn';
  readonly collation: Document | null;
  readonly isClustered: boolean;
}

interface Listed {
  readonly name: string;
  readonly type?: string;
  readonly options?: Document;
  readonly info?: { readonly uuid?: { toString(encoding: 'hex'): string; buffer: Uint8Array } };
}

function toTarget(listed: Listed): Target {
  const options = listed.options ?? {};
  return {
    name: listed.name,
    uuid: listed.info?.uuid ? Buffer.from(listed.info.uuid.buffer).toString('hex') : '',
    kind:
      listed.type === 'view' || listed.type === 'timeseries'
        ? listed.type
        : options['capped']
          ? 'capped'
          : 'collection',
    validator: (options['validator'] as Document | undefined) ?? null,
    validationLevel: (options['validationLevel'] as Target['validationLevel'] | undefined) ?? 'strict',
    validationAction: (options['validationAction'] as Target['validationAction'] | undefined) ?? 'error',
    collation: (options['collation'] as Document | undefined) ?? null,
    isClustered: options['clusteredIndex'] !== undefined,
  };
}

async function findListed(db: Db, name: string): Promise<Listed | undefined> {
  const [listed] = await db.listCollections({ name }, { nameOnly: false }).toArray();
  return listed as unknown as Listed | undefined;
}

/** The collection of this name as the server lists it, or null. */
export async function findTarget(db: Db, name: string): Promise<Target | null> {
  const listed = await findListed(db, name);
  return listed ? toTarget(listed) : null;
}

/** Bytes of a collection's documents, not compressed; null where that may not be asked. */
export async function readDataBytes(db: Db, name: string): Promise<number | null> {
  const stats = [{ $collStats: { storageStats: {} } }, { $project: { size: '$storageStats.size' } }];
  const [found] = await db
    .collection(name)
    .aggregate(stats)
    .toArray()
    .catch(() => []);
  return found ? Number(found['size']) : null;
}

const KINDS = { view: 'view', timeseries: 'time-series collection', capped: 'capped collection' } as const;

const WAYS_OUT: Readonly<Record<'view' | 'timeseries' | 'capped', string>> = {
  view: 'migrate the collection that the view reads',
  timeseries:
    'time-series collections take no updates of single documents: write the new shape into another collection',
  capped: 'capped collections refuse transactions: copy it into an ordinary collection and migrate that one',
};

/** The dates that JavaScript holds, in ms (ECMAScript, "Time Values and Time Range"). BSON has 64 bits. */
const LAST_DATE_MS = 8.64e15;

/**
 * A document whose `_id` JavaScript does not hold cannot be named: it would be read as another one, or not at all.
 * DBPointers are not looked for in a clustered collection, where it would mean reading all of it.
 */
async function requireReadableIds(db: Db, name: string, { isClustered }: Target): Promise<void> {
  const unreadable: Document[] = [
    { _id: { $lt: new Date(-LAST_DATE_MS) } },
    { _id: { $gt: new Date(LAST_DATE_MS) } },
    ...(isClustered ? [] : [{ _id: { $type: 'dbPointer' } }]),
  ];
  for (const filter of unreadable) {
    const found = await db.collection(name).findOne(filter, { projection: { _id: 0, none: { $literal: 1 } } });
    if (found)
      throw new GodwitError(
        'GODWIT_TARGET',
        `wanted _ids that JavaScript can hold, found one in ${db.databaseName}.${name} that is a ${filter['_id'].$type ? 'DBPointer' : 'date beyond the years ±271,821'}`,
        {
          next: [
            `find it in mongosh: db.getCollection('${name}').find(${shownFilter(filter)})`,
            'store it under another _id',
          ],
        },
      );
  }
}

function shownFilter({ _id }: Document): string {
  const [[operator, value] = []] = Object.entries(_id as Document);
  return `{ _id: { ${operator}: ${value instanceof Date ? `new Date(${value.getTime()})` : `'${value}'`} } }`;
}

/** A collection that a migration will make: nothing is in it. */
export const newTarget = (name: string): Target => ({
  ...{ name, uuid: '', kind: 'collection', validator: null, validationLevel: 'strict', validationAction: 'error' },
  ...{ collation: null, isClustered: false },
});

async function notThere(db: Db, name: string, key: string): Promise<GodwitError> {
  const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map((listed) => listed.name);
  return new GodwitError(
    'GODWIT_TARGET',
    `wanted the collection ${db.databaseName}.${name}, found none of that name.${didYouMean(name, names)}`,
    { next: [`check \`${key}\` in the migration, and the database in MONGODB_URI or --db`] },
  );
}

const notOrdinary = (db: Db, name: string, kind: Exclude<Target['kind'], 'collection'>): GodwitError =>
  new GodwitError(
    'GODWIT_TARGET',
    `wanted an ordinary collection, found that ${db.databaseName}.${name} is a ${KINDS[kind]}`,
    { next: [WAYS_OUT[kind]] },
  );

/** Views of views, at most: the server's own bound is 20. */
const MAX_VIEWS = 20;

/**
 * A collection that is only looked up: it must be there, since without it nothing would be found, and that be written;
 * and be one that transactions can read. A view reads what it is of.
 *
 * @throws GodwitError GODWIT_TARGET
 */
export async function requireReadable(db: Db, name: string): Promise<void> {
  let at = name;
  for (let depth = 0; depth < MAX_VIEWS; depth += 1) {
    const listed = await findListed(db, at);
    if (!listed && depth === 0) throw await notThere(db, name, 'lookup.from` or `to');
    if (!listed) return;
    const { kind } = toTarget(listed);
    if (kind === 'capped') throw notOrdinary(db, at, kind);
    if (kind !== 'view') return;
    at = String(listed.options?.['viewOn']);
  }
}

/**
 * The same, or what it will be where the migration itself makes it.
 *
 * @throws GodwitError GODWIT_TARGET
 */
export async function requireTargetOrNew(db: Db, name: string, created: ReadonlySet<string>): Promise<Target> {
  if (created.has(name) && !(await findTarget(db, name))) return newTarget(name);
  return requireTarget(db, name);
}

/**
 * The collection, if its documents can be migrated one by one: an ordinary one. The same for a run, for what a dry run
 * looks at, and for the collections of a merge: all of them are read in transactions.
 *
 * @throws GodwitError GODWIT_TARGET
 */
export async function requireTarget(db: Db, name: string): Promise<Target> {
  const target = await findTarget(db, name);
  if (!target) throw await notThere(db, name, 'collection');
  if (target.kind !== 'collection') throw notOrdinary(db, name, target.kind);
  await requireReadableIds(db, name, target);
  return target;
}
