/**
 * A step that makes values into references: each value at a path that is the key of one document of another collection,
 * or the `_id` of a document that was merged into it, becomes the `_id` there. To the engine it is a transform with
 * lookups; a value that is an `_id` already stays, so that a second pass changes nothing.
 */
import type { Document, Filter } from 'mongodb';
import { GONE, mapAt, valuesAt } from '../kernel/paths.js';
import { type Doc, isPlainObject } from '../kernel/values.js';
import { broken, describe, requireKnownKeys, requireText } from './author-checks.js';
import {
  type Dangling,
  keep,
  type LookupTable,
  type References,
  type Reject,
  reject,
  type StepLookup,
  type TransformContext,
  type TransformStep,
  transform,
} from './migration.js';

const DANGLING: readonly Dangling[] = ['report', 'null', 'remove', 'reject'];

interface CommonOptions {
  /** Whose documents refer. */
  readonly collection: string;
  /** Where: a dotted path, through arrays item by item; `*` is every name of a map. */
  readonly path: string;
  /** Whose documents are referred to. */
  readonly to: string;
  /** Default: `report`. */
  readonly dangling?: Dangling;
  readonly filter?: Filter<Document>;
  /** Says that every document is meant. */
  readonly all?: true;
}

/** Values are keys. */
export interface KeyReferences extends CommonOptions {
  /** The field of the documents referred to that the values are keys by. */
  readonly by: string;
}

/** Values are `_id`s of documents that were merged into `to`. */
export interface MergedReferences extends CommonOptions {
  /** The collection that was merged. */
  readonly from: string;
}

/** Values are `_id`s, and a field beside them says of which collection: Mongoose's `refPath`. */
export interface TypedReferences extends CommonOptions {
  /** Where that is said: the path of a field beside the value. */
  readonly typePath: string;
  /** The collections that were merged, by what is said there. */
  readonly from: Readonly<Record<string, string>>;
  /** What is said there afterwards. */
  readonly typeTo: string;
}

/** What an author gives to `references()`. */
export type ReferencesOptions = KeyReferences | MergedReferences | TypedReferences;

/** `key`: names one document. `id`: is an `_id` already. `several`: names more than one. */
export type Standing =
  | { readonly kind: 'key'; readonly id: unknown }
  | { readonly kind: 'id' | 'dangling' | 'several' };

/** What the step's lookups have found: `byId`, and `byKey` or one for each type. */
export type Tables = Readonly<Record<string, LookupTable<Document>>>;

const BY_ID = 'byId';
const BY_KEY = 'byKey';
const byType = (type: string): string => `byKey ${type}`;

const tableIn = (tables: Tables, name: string): LookupTable<Document> => {
  const table = tables[name];
  if (!table) throw new RangeError(`no lookup is called ${name}`);
  return table;
};

/** The `_id` as it will be stored: a number does not say of which type it is. */
const idOf = (document: Document): unknown =>
  typeof document['_id'] === 'number' ? keep('_id', document) : document['_id'];

function standingOf(value: unknown, tables: Tables): Standing {
  const [byKey, byId] = [tableIn(tables, BY_KEY), tableIn(tables, BY_ID)];
  const named = byKey.all(value);
  const own = byId.get(value);
  const [one, other] = named;
  if (!one) return { kind: own ? 'id' : 'dangling' };
  if (other) return { kind: 'several' };
  if (!own) return { kind: 'key', id: idOf(one) };
  // A key that is its own document's `_id` as well is one already; another's could be either.
  return { kind: byId.get(one['_id']) === own ? 'id' : 'several' };
}

/** What is said beside a value leaves no doubt of which collection it is. Null: of none that is asked about. */
function typedStanding(value: unknown, type: unknown, { from, typeTo }: References, tables: Tables): Standing | null {
  if (type === typeTo) return { kind: tableIn(tables, BY_ID).get(value) ? 'id' : 'dangling' };
  if (typeof type !== 'string' || !Object.hasOwn(from ?? {}, type)) return null;
  const [one, other] = tableIn(tables, byType(type)).all(value);
  if (!one) return { kind: 'dangling' };
  return other ? { kind: 'several' } : { kind: 'key', id: idOf(one) };
}

/** A value at the path, and what it stands for. */
export interface Reference {
  readonly value: unknown;
  readonly kind: Standing['kind'];
}

/** The path of what holds the value and says its type, and the two names there. */
function placeOf({ path, typePath }: References): { parent: string[]; id: string; type: string } {
  const [names, types] = [path.split('.'), String(typePath).split('.')];
  return { parent: names.slice(0, -1), id: String(names.at(-1)), type: String(types.at(-1)) };
}

function typedReferencesOf(document: Doc, refers: References, tables: Tables): Reference[] {
  const { parent, id, type } = placeOf(refers);
  return valuesAt(document, parent)
    .filter(isPlainObject)
    .flatMap((holder): Reference[] => {
      const value = holder[id];
      if (value === undefined || value === null) return [];
      const standing = typedStanding(value, holder[type], refers, tables);
      return standing ? [{ value, kind: standing.kind }] : [];
    });
}

/** The values at the path that are not null, in their order. */
export function referencesOf(document: Doc, refers: References, tables: Tables): Reference[] {
  if (refers.typePath !== null) return typedReferencesOf(document, refers, tables);
  const values = valuesAt(document, refers.path.split('.')).filter((value) => value !== null);
  return values.map((value) => ({ value, kind: standingOf(value, tables).kind }));
}

type Refuse = (why: string) => never;

/** @throws `refuse` of a value that the step must not leave and cannot make into a reference */
function resolved(value: unknown, standing: Standing, { dangling }: References, refuse: Refuse): unknown {
  if (standing.kind === 'key') return standing.id;
  if (standing.kind === 'id' || dangling === 'report') return value;
  // It names something, if not one thing: to take it away would lose what only a person can tell.
  if (standing.kind === 'several') return refuse('a value that names more than one document');
  if (dangling === 'reject') return refuse('a value that names no document');
  return dangling === 'null' ? null : GONE;
}

/** What holds a value and says its type, with both as they shall be. */
function typedHolder(holder: unknown, refers: References, tables: Tables, refuse: Refuse): unknown {
  if (!isPlainObject(holder)) return holder;
  const { id, type } = placeOf(refers);
  const value = holder[id];
  const standing = value === undefined || value === null ? null : typedStanding(value, holder[type], refers, tables);
  if (!standing) return holder;
  const next = resolved(value, standing, refers, refuse);
  const isDone = standing.kind === 'key' && holder[type] !== refers.typeTo;
  if (Object.is(next, value) && !isDone) return holder;
  const { [id]: _, ...rest } = holder;
  if (next === GONE) return rest;
  return { ...holder, [id]: next, ...(isDone ? { [type]: refers.typeTo } : {}) };
}

function mapped(document: Doc, refers: References, tables: Tables, refuse: Refuse): Doc {
  const { path, typePath } = refers;
  const change = (value: unknown): unknown => resolved(value, standingOf(value, tables), refers, refuse);
  if (typePath === null) return mapAt(document, path.split('.'), change) as Doc;
  return mapAt(document, placeOf(refers).parent, (holder) => typedHolder(holder, refers, tables, refuse)) as Doc;
}

function upOf(refers: References) {
  const how = refers.by === null ? 'through a merge' : `by ${refers.by}`;
  return (document: Doc, { lookup }: TransformContext<Record<string, Document>>): Doc | Reject => {
    let why: string | undefined;
    const refuse = (found: string): never => {
      why = `wanted one document of ${refers.to} ${how} for each value at "${refers.path}", found ${found}`;
      throw new Error(why);
    };
    try {
      return mapped(document, refers, lookup, refuse);
    } catch (error) {
      if (why === undefined) throw error;
      return reject(why);
    }
  };
}

function requirePath(path: unknown, what: string): void {
  requireText(path, what);
  const names = String(path).split('.');
  if (names.includes('')) throw broken(`names between the dots of ${what}`, `"${path}"`);
  if (names[0] === '_id') throw broken(`a path other than "_id" in ${what}`, `"${path}"`);
}

/** One way of naming a document, and what belongs to it. */
type Naming = Pick<References, 'by' | 'from' | 'typePath' | 'typeTo'>;

function keyNaming(by: string): Naming {
  requireText(by, 'references().by');
  if (by === '_id') throw broken('a field other than "_id" in references().by', 'what needs no step');
  return { by, from: null, typePath: null, typeTo: null };
}

function mergedNaming(from: unknown): Naming {
  requireText(from, 'references().from');
  return { by: null, from: { '': String(from) }, typePath: null, typeTo: null };
}

const holderOf = (path: string): string => path.split('.').slice(0, -1).join('.');

function typedNaming({ path, typePath, from, typeTo }: TypedReferences): Naming {
  requirePath(typePath, 'references().typePath');
  if (holderOf(path) !== holderOf(typePath) || path === typePath)
    throw broken('references().typePath as the path of a field beside the value', `"${typePath}" for "${path}"`);
  if ([path, typePath].some((one) => one.endsWith('*')))
    throw broken('names at the ends of references().path and typePath', '"*"');
  requireText(typeTo, 'references().typeTo');
  if (from === null || typeof from !== 'object')
    throw broken('references().from as an object of collections by their types', describe(from));
  if (Object.keys(from).length === 0) throw broken('at least one type in references().from', 'none');
  for (const [type, collection] of Object.entries(from)) requireText(collection, `references().from.${type}`);
  if (Object.hasOwn(from, typeTo)) throw broken('another type in references().typeTo than in from', `"${typeTo}"`);
  return { by: null, from: { ...from }, typePath, typeTo };
}

function namingOf(options: ReferencesOptions): Naming {
  const hasKey = 'by' in options && options.by !== undefined;
  const hasFrom = 'from' in options && options.from !== undefined;
  if (hasKey === hasFrom) throw broken('either `by` or `from` in references()', hasKey ? 'both' : 'neither');
  if (hasKey) return keyNaming(options.by);
  return 'typePath' in options ? typedNaming(options) : mergedNaming((options as MergedReferences).from);
}

function lookupsOf({ path, to, by, from, typePath }: References): Record<string, StepLookup> {
  const lookup = (foreignField: string, more: Partial<StepLookup>): StepLookup => ({
    ...{ from: to, localField: path, foreignField, keysOnly: true },
    ...more,
  });
  const byId = { [BY_ID]: lookup('_id', {}) };
  if (by !== null) return { [BY_KEY]: lookup(by, {}), ...byId };
  const merged = Object.entries(from ?? {}).map(([type, collection]) => [
    typePath === null ? BY_KEY : byType(type),
    lookup('id', { merged: collection }),
  ]);
  return { ...Object.fromEntries(merged), ...byId };
}

/**
 * A step that makes values into references. With `by`, values at `path` that are that field of one document of `to`
 * become its `_id`; with `from`, those that are `_id`s of documents which a merge has made part of one of `to`. The same
 * audit, dry run and rollback as a transform. Values that are an `_id` of `to` already stay.
 *
 * @example references({ collection: 'customers', path: 'accounts', to: 'accounts', by: 'account_id' })
 * @example references({ collection: 'invoices', path: 'client', from: 'clients', to: 'contacts' })
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for an unknown key or value, or an empty filter
 */
export function references(options: ReferencesOptions): TransformStep {
  requireKnownKeys(options, KEYS, 'references()');
  const { collection, path, to, dangling = 'report', filter, all } = options;
  requireText(collection, 'references().collection');
  requirePath(path, 'references().path');
  requireText(to, 'references().to');
  if (!DANGLING.includes(dangling))
    throw broken(`one of ${DANGLING.join(', ')} in references().dangling`, `"${dangling}"`);
  const refers: References = Object.freeze({ path, to, dangling, ...namingOf(options) });
  const step = transform<Doc, Doc>({
    collection,
    ...(filter === undefined ? {} : { filter }),
    ...(all === undefined ? {} : { all }),
    lookup: lookupsOf(refers),
    up: upOf(refers),
    drops: dangling === 'null' || dangling === 'remove' ? [path] : [],
  });
  return Object.freeze({ ...step, refers });
}

const KEYS = new Set(['collection', 'path', 'to', 'by', 'from', 'typePath', 'typeTo', 'dangling', 'filter', 'all']);
