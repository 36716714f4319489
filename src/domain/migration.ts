/**
 * A migration as its author writes it: what `scripts/migrations/*.ts` exports by default.
 *
 * The file's name without its extension is the migration's id. `defineMigration` and the step functions check what
 * can be checked without a database and throw GODWIT_MIGRATION_BROKEN, so that a wrong file fails when it is loaded.
 */
import type { Document, Filter } from 'mongodb';
import { broken, describe, madeStep, requireChoice, requireKnownKeys, requireText } from './author-checks.js';
import { requirePhases } from './expand-contract.js';
import type { MergeStep } from './merge-step.js';
import type { PipelineStep } from './pipeline-step.js';
import type { SchemaStep } from './schema-operation.js';
import type { ScriptStep } from './script-step.js';
import { requireSteps } from './step-order.js';

const MIGRATION = Symbol.for('godwit.migration');
const OUTCOME = Symbol.for('godwit.outcome');

/** Returned by `skip()`: the document is right as it is. */
export interface Skip {
  readonly [OUTCOME]: 'skip';
  readonly reason: string;
}

/** Returned by `reject()`: the document cannot be migrated; it is quarantined with its image. */
export interface Reject {
  readonly [OUTCOME]: 'reject';
  readonly reason: string;
}

/** Returned by `keep()`: a stand-in for the stored value at `path`, type and all. */
export interface Kept {
  readonly [OUTCOME]: 'keep';
  readonly path: readonly string[];
  /** Of which document that the function was given; undefined: of the one that is migrated. */
  readonly from: object | undefined;
}

/** Documents read by a `lookup`, by the value that was looked for. Frozen. */
export interface LookupTable<T> {
  /** The document whose `foreignField` equals `value`: the one with the least `_id` when there are several. */
  get(value: unknown): T | undefined;
  /** All of them, by ascending `_id`. */
  all(value: unknown): readonly T[];
}

/** Where a `lookup` reads: once per batch, in the batch's own snapshot. */
export interface LookupSpec {
  readonly from: string;
  /** Field of the migrated document; an array is looked up value by value. */
  readonly localField: string;
  readonly foreignField: string;
}

export interface TransformContext<Lookups extends object> {
  readonly lookup: { readonly [Name in keyof Lookups]: LookupTable<Lookups[Name]> };
  /**
   * The stored value at `path` (a name, a dotted path, or an array of names) with its exact BSON type, elsewhere.
   *
   * @param from a document that a `lookup` has given, to take the value of that one
   */
  keep<T>(path: string | readonly string[], from?: object): T;
  /** Leave the document as it is. */
  skip(reason?: string): Skip;
  /** Quarantine the document. */
  reject(reason: string): Reject;
}

/** As the engine reads it. */
export interface StepLookup extends LookupSpec {
  /** Only `_id` and the foreign field are needed. */
  readonly keysOnly?: true;
  /** Not in `from` itself: in the id map, which documents of it those of this collection were merged into. */
  readonly merged?: string;
}

/** What an author gives to `transform()`. */
export interface TransformOptions<Before extends object, After extends object, Lookups extends object> {
  readonly collection: string;
  /** Which documents; every one when left out. An empty object is refused: say `all: true`. */
  readonly filter?: Filter<Document>;
  /** Says that every document is meant. */
  readonly all?: true;
  readonly lookup?: { readonly [Name in keyof Lookups]: LookupSpec };
  /** Pure, synchronous, deterministic, idempotent. The document is frozen. */
  up(doc: Readonly<Before>, context: TransformContext<Lookups>): After | Skip | Reject;
  /** Optional inverse, for documents that the audit has no image of. */
  down?(doc: Readonly<After>, context: TransformContext<Lookups>): Before | Skip | Reject;
  /** Top-level names or dotted paths whose values are meant to disappear. */
  readonly drops?: readonly string[];
}

/** What becomes of a value that refers to no document: it is left and listed, null, gone, or its document fails. */
export type Dangling = 'report' | 'null' | 'remove' | 'reject';

/** What a step that `references()` made does, beside being a transform. */
export interface References {
  /** Dotted; `*` is every name of a map. */
  readonly path: string;
  readonly to: string;
  /** The field that values are keys by; null: they are `_id`s of what was merged into `to`. */
  readonly by: string | null;
  /** The merged collections, by their types; of one without a type under ''. Null: values are keys. */
  readonly from: Readonly<Record<string, string>> | null;
  /** Where it is said of which collection a value is; null: nowhere. */
  readonly typePath: string | null;
  readonly typeTo: string | null;
  readonly dangling: Dangling;
}

/** A step as the engine sees it: the author's types are gone. */
export interface TransformStep {
  readonly kind: 'transform';
  readonly collection: string;
  readonly filter: Filter<Document> | undefined;
  readonly lookup: Readonly<Record<string, StepLookup>>;
  readonly up: TransformFunction;
  readonly down: TransformFunction | undefined;
  readonly drops: readonly string[];
  /** Of a step that `references()` made. */
  readonly refers?: References;
}

export type TransformFunction = (doc: Document, context: TransformContext<Record<string, Document>>) => unknown;

/** A step that makes one document of one. */
export type DocumentStep = TransformStep | PipelineStep;

/** A step about documents. */
export type Step = DocumentStep | MergeStep | ScriptStep;

/** Every kind of step. */
export type AnyStep = Step | SchemaStep;

/** What `verify(ctx)` of a migration is given. All of it only reads. */
export interface VerifyContext {
  /** The number of documents that match must be `expected`. */
  expectCount(collection: string, filter: Filter<Document>, expected: number): Promise<void>;
  /** No document may match. */
  expectNone(collection: string, filter: Filter<Document>): Promise<void>;
  readonly db: ReadOnlyDb;
}

/** The database, for reading only. */
export interface ReadOnlyDb {
  find(collection: string, filter?: Filter<Document>): Promise<Document[]>;
  count(collection: string, filter?: Filter<Document>): Promise<number>;
  distinct(collection: string, field: string, filter?: Filter<Document>): Promise<unknown[]>;
  /** `$out` and `$merge` are refused. */
  aggregate(collection: string, pipeline: Document[]): Promise<Document[]>;
}

export interface MigrationDefinition {
  readonly description: string;
  readonly author?: string;
  /** Where the change is discussed. */
  readonly pr?: string;
  /** Ids of migrations that must be completed first. */
  readonly dependsOn?: readonly string[];
  /** Run before: adds what the application's new version needs (collections, indexes, fields). */
  readonly expand?: readonly AnyStep[];
  readonly steps: readonly AnyStep[];
  /** Run after, when nothing uses the old shape any more: takes it away. */
  readonly contract?: readonly AnyStep[];
  /** Why this migration is not meant to be rolled back; recorded with the run and shown by `status`. */
  readonly irreversibleBecause?: string;
  /** The author's own invariants: throw, or use `expect…`, to say that one does not hold. */
  verify?(context: VerifyContext): Promise<void> | void;
}

/** A checked definition. */
export interface Migration extends MigrationDefinition {
  readonly [MIGRATION]: true;
}

const TRANSFORM_KEYS = new Set(['collection', 'filter', 'all', 'lookup', 'up', 'down', 'drops']);
const MIGRATION_KEYS = new Set([
  ...['description', 'author', 'pr', 'dependsOn', 'expand', 'steps', 'contract'],
  ...['verify', 'irreversibleBecause'],
]);

function requireLookups(lookups: Readonly<Record<string, LookupSpec>>): void {
  for (const [name, spec] of Object.entries(lookups)) {
    requireText(spec?.from, `lookup.${name}.from`);
    requireText(spec.localField, `lookup.${name}.localField`);
    requireText(spec.foreignField, `lookup.${name}.foreignField`);
  }
}

/**
 * A step that turns one document into one document, in JavaScript.
 *
 * @example transform<Client, Contact>({ collection: 'contacts', up: ({ mail, ...rest }) => ({ ...rest, email: mail }) })
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for an unknown key, an empty filter or a missing `up`.
 */
export function transform<
  Before extends object = Document,
  After extends object = Document,
  Lookups extends object = Record<string, Document>,
>(options: TransformOptions<Before, After, Lookups>): TransformStep {
  requireKnownKeys(options, TRANSFORM_KEYS, 'transform()');
  requireText(options.collection, 'transform().collection');
  if (typeof options.up !== 'function') throw broken('transform().up as a function', describe(options.up));
  if (options.down !== undefined && typeof options.down !== 'function')
    throw broken('transform().down as a function', describe(options.down));
  requireChoice(options, 'transform()');
  const lookup = (options.lookup ?? {}) as Readonly<Record<string, StepLookup>>;
  requireLookups(lookup);
  return madeStep({
    kind: 'transform',
    collection: options.collection,
    filter: options.filter,
    lookup,
    up: options.up as unknown as TransformFunction,
    down: options.down as unknown as TransformFunction | undefined,
    drops: options.drops ?? [],
  });
}

/**
 * Declares a migration; the default export of its file.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN when something is missing or not known.
 */
export function defineMigration(definition: MigrationDefinition): Migration {
  if (definition === null || typeof definition !== 'object') throw broken('an object', describe(definition));
  requireKnownKeys(definition, MIGRATION_KEYS, 'defineMigration()');
  requireText(definition.description, 'description');
  requireSteps(definition.steps);
  requirePhases(definition);
  return Object.freeze({ ...definition, [MIGRATION]: true as const });
}

/** True for what `defineMigration` returned, of any copy of this package. */
export function isMigration(value: unknown): value is Migration {
  return typeof value === 'object' && value !== null && (value as Partial<Migration>)[MIGRATION] === true;
}

export const skip = (reason = ''): Skip => ({ [OUTCOME]: 'skip', reason });
export const reject = (reason: string): Reject => ({ [OUTCOME]: 'reject', reason });
export function keep<T>(path: string | readonly string[], from?: object): T {
  const kept: Kept = { [OUTCOME]: 'keep', path: typeof path === 'string' ? path.split('.') : [...path], from };
  return kept as T;
}

/** Which of the stand-ins a returned value is, if it is one. */
export function outcomeOf(value: unknown): Skip | Reject | Kept | undefined {
  return typeof value === 'object' && value !== null && OUTCOME in value ? (value as Skip | Reject | Kept) : undefined;
}

export const isSkip = (value: unknown): value is Skip => outcomeOf(value)?.[OUTCOME] === 'skip';
export const isReject = (value: unknown): value is Reject => outcomeOf(value)?.[OUTCOME] === 'reject';
export const isKept = (value: unknown): value is Kept => outcomeOf(value)?.[OUTCOME] === 'keep';
