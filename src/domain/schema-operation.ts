/**
 * Steps that change collections and indexes, not documents. Each is done once, at its place among the other steps, and
 * knows its way back: what was there before is kept with the run.
 */
import type { CreateCollectionOptions, CreateIndexesOptions, Document } from 'mongodb';
import { broken, describe, madeStep, requireKnownKeys, requireText } from './author-checks.js';

/** What a schema step does, as the engine sees it. */
export type SchemaOperation =
  | { readonly kind: 'createCollection'; readonly collection: string; readonly options: Document }
  | { readonly kind: 'renameCollection'; readonly collection: string; readonly to: string; readonly isDrop: boolean }
  | {
      readonly kind: 'createIndex';
      readonly collection: string;
      readonly name: string;
      readonly key: Document;
      readonly options: Document;
    }
  | { readonly kind: 'dropIndex'; readonly collection: string; readonly name: string }
  | {
      readonly kind: 'setValidator';
      readonly collection: string;
      readonly validator: Document;
      readonly level: 'off' | 'moderate' | 'strict';
      readonly action: 'warn' | 'error';
    };

export interface SchemaStep {
  readonly kind: 'schema';
  /** The one whose collection or indexes are changed. */
  readonly collection: string;
  readonly operation: SchemaOperation;
}

/** A schema step with its place: how many units of documents come before it. */
export interface PlacedSchemaStep {
  readonly at: number;
  readonly step: SchemaStep;
}

/** In words, for people. */
export function describeOperation(operation: SchemaOperation): string {
  const { kind, collection } = operation;
  if (kind === 'createCollection') return `create the collection ${collection}`;
  if (kind === 'createIndex')
    return `create the ${operation.options['unique'] ? 'unique ' : ''}index ${operation.name} on ${collection}`;
  if (kind === 'dropIndex') return `drop the index ${operation.name} of ${collection}`;
  if (kind === 'setValidator')
    return `${Object.keys(operation.validator).length === 0 ? 'take the validator of' : 'set a validator on'} ${collection} (${operation.level}, ${operation.action})`;
  return operation.isDrop
    ? `drop the collection ${collection}, kept as ${operation.to}`
    : `rename the collection ${collection} to ${operation.to}`;
}

/** Names of collections that an operation is about. */
export const collectionsOf = (operation: SchemaOperation): string[] =>
  operation.kind === 'renameCollection' ? [operation.collection, operation.to] : [operation.collection];

/** Names of indexes of a collection that these operations drop. */
export const droppedFrom = (collection: string, operations: readonly SchemaOperation[]): ReadonlySet<string> =>
  new Set(
    operations.flatMap((operation) =>
      operation.kind === 'dropIndex' && operation.collection === collection ? operation.name : [],
    ),
  );

const stepOf = (operation: SchemaOperation): SchemaStep =>
  madeStep({ kind: 'schema', collection: operation.collection, operation: Object.freeze(operation) });

function requireObject(value: unknown, what: string): void {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw broken(`${what} as an object`, describe(value));
}

/** A name that the server takes: MongoDB manual, "Naming Restrictions". */
function requireName(value: unknown, what: string): void {
  requireText(value, what);
  const name = String(value);
  if (name.startsWith('system.') || name.includes('$') || name.startsWith('.') || name.endsWith('.'))
    throw broken(`${what} as a collection of the application's`, `"${name}"`);
}

/** What an author gives to `schema.createCollection()`. */
export interface CreateCollectionStep {
  readonly name: string;
  /** The server's own: validator, collation, clusteredIndex. Views, capped and time-series collections are refused. */
  readonly options?: CreateCollectionOptions;
}

const REFUSED_OPTIONS = ['viewOn', 'pipeline', 'capped', 'timeseries', 'encryptedFields'];

/**
 * A collection, before the steps of documents. The way back drops it when it is empty then.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN
 */
export function createCollection(options: CreateCollectionStep): SchemaStep {
  requireKnownKeys(options, new Set(['name', 'options']), 'schema.createCollection()');
  requireName(options.name, 'schema.createCollection().name');
  const own = options.options ?? {};
  requireObject(own, 'schema.createCollection().options');
  const refused = REFUSED_OPTIONS.find((name) => name in own);
  if (refused) throw broken('an ordinary collection in schema.createCollection().options', `"${refused}"`);
  return stepOf({ kind: 'createCollection', collection: options.name, options: { ...own } });
}

/** What an author gives to `schema.renameCollection()`. */
export interface RenameCollectionStep {
  readonly from: string;
  readonly to: string;
}

/**
 * A collection under another name. Change streams on it end, and whoever writes to its old name makes a new one.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN
 */
export function renameCollection(options: RenameCollectionStep): SchemaStep {
  requireKnownKeys(options, new Set(['from', 'to']), 'schema.renameCollection()');
  requireName(options.from, 'schema.renameCollection().from');
  requireName(options.to, 'schema.renameCollection().to');
  if (options.from === options.to) throw broken('another name in schema.renameCollection().to', `"${options.to}"`);
  return stepOf({ kind: 'renameCollection', collection: options.from, to: options.to, isDrop: false });
}

/** What an author gives to `schema.dropCollection()`. */
export interface DropCollectionStep {
  readonly name: string;
  /** Name under which its documents stay, until somebody drops that by hand. */
  readonly keepAs: string;
}

/**
 * A collection out of the application's way: it is kept under another name, since nothing else could bring it back.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN, also without `keepAs`
 */
export function dropCollection(options: DropCollectionStep): SchemaStep {
  requireKnownKeys(options, new Set(['name', 'keepAs']), 'schema.dropCollection()');
  requireName(options.name, 'schema.dropCollection().name');
  if (options.keepAs === undefined)
    throw broken(
      `a way back from schema.dropCollection(): keepAs: '${options.name}_old'`,
      'none (nothing audits the documents of a dropped collection)',
    );
  requireName(options.keepAs, 'schema.dropCollection().keepAs');
  if (options.name === options.keepAs) throw broken('another name in schema.dropCollection().keepAs', 'the same');
  return stepOf({ kind: 'renameCollection', collection: options.name, to: options.keepAs, isDrop: true });
}

/** What an author gives to `schema.createIndex()`. */
export interface CreateIndexStep {
  readonly collection: string;
  readonly key: Readonly<Record<string, 1 | -1 | 'text' | '2dsphere' | 'hashed'>>;
  /** The server's own: unique, sparse, partialFilterExpression, expireAfterSeconds, collation, name. */
  readonly options?: CreateIndexesOptions;
}

/** The name that the server's clients give to an index: `email_1_at_-1`. */
const nameOf = (key: Document): string => Object.entries(key).flat().join('_');

/**
 * An index. Of a unique one, documents with the same key are looked for first. The way back drops it.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN
 */
export function createIndex(options: CreateIndexStep): SchemaStep {
  requireKnownKeys(options, new Set(['collection', 'key', 'options']), 'schema.createIndex()');
  const { collection, key } = options;
  requireName(collection, 'schema.createIndex().collection');
  requireObject(key, 'schema.createIndex().key');
  if (Object.keys(key).length === 0) throw broken('a field in schema.createIndex().key', 'none');
  const own = options.options ?? {};
  requireObject(own, 'schema.createIndex().options');
  const { name = nameOf(key), ...rest } = own;
  requireText(name, 'schema.createIndex().options.name');
  return stepOf({ kind: 'createIndex', collection, name, key: { ...key }, options: rest });
}

/** What an author gives to `schema.dropIndex()`. */
export interface DropIndexStep {
  readonly collection: string;
  readonly name: string;
}

/**
 * An index away. The way back builds it again, exactly as it was.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN
 */
export function dropIndex(options: DropIndexStep): SchemaStep {
  requireKnownKeys(options, new Set(['collection', 'name']), 'schema.dropIndex()');
  requireName(options.collection, 'schema.dropIndex().collection');
  requireText(options.name, 'schema.dropIndex().name');
  if (options.name === '_id_' || options.name === '*')
    throw broken('one index in schema.dropIndex().name, not that of _id', `"${options.name}"`);
  return stepOf({ kind: 'dropIndex', collection: options.collection, name: options.name });
}

/** What an author gives to `schema.setValidator()`. */
export interface SetValidatorStep {
  readonly collection: string;
  /** `{}` takes the validator away. */
  readonly validator: Document;
  /** Default: strict. */
  readonly level?: 'off' | 'moderate' | 'strict';
  /** Default: error. */
  readonly action?: 'warn' | 'error';
}

const LEVELS = ['off', 'moderate', 'strict'] as const;
const ACTIONS = ['warn', 'error'] as const;

/**
 * A validator. Documents that it refuses are counted first. The way back sets the one that was there. Needs the right
 * collMod, which readWrite lacks.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN
 */
export function setValidator(options: SetValidatorStep): SchemaStep {
  requireKnownKeys(options, new Set(['collection', 'validator', 'level', 'action']), 'schema.setValidator()');
  const { collection, validator, level = 'strict', action = 'error' } = options;
  requireName(collection, 'schema.setValidator().collection');
  requireObject(validator, 'schema.setValidator().validator');
  if (!LEVELS.includes(level)) throw broken(`${LEVELS.join(', ')} in schema.setValidator().level`, `"${level}"`);
  if (!ACTIONS.includes(action)) throw broken(`${ACTIONS.join(' or ')} in schema.setValidator().action`, `"${action}"`);
  return stepOf({ kind: 'setValidator', collection, validator: { ...validator }, level, action });
}
