/**
 * A step that makes keys into references: each value at a path that is the key of one document of another collection
 * becomes that document's `_id`. To the engine it is a transform with two lookups, by the key and by the `_id`: a value
 * that is an `_id` already stays, so that a second pass changes nothing.
 */
import type { Document, Filter } from 'mongodb';
import { GONE, mapAt, valuesAt } from '../kernel/paths.js';
import type { Doc } from '../kernel/values.js';
import { broken, requireKnownKeys, requireText } from './author-checks.js';
import {
  type Dangling,
  type LookupTable,
  type References,
  type Reject,
  reject,
  type TransformContext,
  type TransformStep,
  transform,
} from './migration.js';

const DANGLING: readonly Dangling[] = ['report', 'null', 'remove', 'reject'];

/** What an author gives to `references()`. */
export interface ReferencesOptions {
  /** Whose documents refer. */
  readonly collection: string;
  /** Where: a dotted path, through arrays item by item; `*` is every name of a map. */
  readonly path: string;
  /** Whose documents are referred to. */
  readonly to: string;
  /** The field of those that the values are keys by. */
  readonly by: string;
  /** Default: `report`. */
  readonly dangling?: Dangling;
  readonly filter?: Filter<Document>;
  /** Says that every document is meant. */
  readonly all?: true;
}

/** `key`: names one document. `id`: is an `_id` already. `several`: names more than one. */
export type Standing =
  | { readonly kind: 'key'; readonly id: unknown }
  | { readonly kind: 'id' | 'dangling' | 'several' };

/** What the step's lookups have found. */
export type Tables = { readonly byKey: LookupTable<Document>; readonly byId: LookupTable<Document> };

function standingOf(value: unknown, { byKey, byId }: Tables): Standing {
  const named = byKey.all(value);
  const own = byId.get(value);
  const [one, other] = named;
  if (!one) return { kind: own ? 'id' : 'dangling' };
  if (other) return { kind: 'several' };
  if (!own) return { kind: 'key', id: one['_id'] };
  // A key that is its own document's `_id` as well is one already; another's could be either.
  return { kind: byId.get(one['_id']) === own ? 'id' : 'several' };
}

/** A value at the path, and what it stands for. */
export interface Reference {
  readonly value: unknown;
  readonly kind: Standing['kind'];
}

/** The values at the path that are not null, in their order. */
export function referencesOf(document: Doc, { path }: References, tables: Tables): Reference[] {
  const values = valuesAt(document, path.split('.')).filter((value) => value !== null);
  return values.map((value) => ({ value, kind: standingOf(value, tables).kind }));
}

/** @throws `refuse` of a value that the step must not leave and cannot make into a reference */
function resolved(value: unknown, { dangling }: References, tables: Tables, refuse: (why: string) => never): unknown {
  const standing = standingOf(value, tables);
  if (standing.kind === 'key') return standing.id;
  if (standing.kind === 'id' || dangling === 'report') return value;
  // It names something, if not one thing: to take it away would lose what only a person can tell.
  if (standing.kind === 'several') return refuse('a value that names more than one document');
  if (dangling === 'reject') return refuse('a value that names no document');
  return dangling === 'null' ? null : GONE;
}

function upOf(refers: References) {
  const path = refers.path.split('.');
  return (document: Doc, { lookup }: TransformContext<Record<string, Document>>): Doc | Reject => {
    let why: string | undefined;
    const refuse = (found: string): never => {
      why = `wanted one document of ${refers.to} by ${refers.by} for each value at "${refers.path}", found ${found}`;
      throw new Error(why);
    };
    try {
      return mapAt(document, path, (value) => resolved(value, refers, lookup as Tables, refuse)) as Doc;
    } catch (error) {
      if (why === undefined) throw error;
      return reject(why);
    }
  };
}

function requirePath(path: unknown): void {
  requireText(path, 'references().path');
  const names = String(path).split('.');
  if (names.includes('')) throw broken('names between the dots of references().path', `"${path}"`);
  if (names[0] === '_id') throw broken('a path other than "_id" in references()', `"${path}"`);
}

/**
 * A step that makes keys into references: values at `path` that are the `by` of one document of `to` become its `_id`,
 * with the same audit, dry run and rollback as a transform. Values that are an `_id` of `to` already stay.
 *
 * @example references({ collection: 'customers', path: 'accounts', to: 'accounts', by: 'account_id' })
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for an unknown key or value, or an empty filter
 */
export function references(options: ReferencesOptions): TransformStep {
  requireKnownKeys(options, KEYS, 'references()');
  const { collection, path, to, by, dangling = 'report', filter, all } = options;
  requireText(collection, 'references().collection');
  requirePath(path);
  requireText(to, 'references().to');
  requireText(by, 'references().by');
  if (by === '_id') throw broken('a field other than "_id" in references().by', 'what needs no step');
  if (!DANGLING.includes(dangling))
    throw broken(`one of ${DANGLING.join(', ')} in references().dangling`, `"${dangling}"`);
  const refers: References = Object.freeze({ path, to, by, dangling });
  const lookup = (foreignField: string) => ({ from: to, localField: path, foreignField, keysOnly: true }) as const;
  const step = transform<Doc, Doc>({
    collection,
    ...(filter === undefined ? {} : { filter }),
    ...(all === undefined ? {} : { all }),
    lookup: { byKey: lookup(by), byId: lookup('_id') },
    up: upOf(refers),
    drops: dangling === 'null' || dangling === 'remove' ? [path] : [],
  });
  return Object.freeze({ ...step, refers });
}

const KEYS = new Set(['collection', 'path', 'to', 'by', 'dangling', 'filter', 'all']);
