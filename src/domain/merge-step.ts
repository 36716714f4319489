/**
 * A step that makes several collections into one: documents that are the same thing become one document of `into`, with
 * a note of where each came from. Who is the same as whom is decided before the first write (grouping.ts), and what
 * becomes of their fields one group at a time (merge-group.ts): the order of the work cannot change the result.
 */
import type { Document, Filter } from 'mongodb';
import { broken, describe, madeStep, requireKnownKeys, requireText } from './author-checks.js';
import { type Decisions, NO_DECISIONS } from './merge-decisions.js';
import type { Reject, Skip, TransformContext, TransformFunction } from './migration.js';

/** What `map` is given beside the document. */
export type MapContext = Pick<TransformContext<Record<never, never>>, 'keep' | 'skip' | 'reject'>;

/** One collection that is merged into another. */
export interface MergeFrom {
  /** The document in the canonical shape, without `_id`. Pure, synchronous, deterministic. */
  map(document: Document, context: MapContext): object | Skip | Reject;
  /** Which documents; every one when left out. */
  readonly filter?: Filter<Document>;
}

/** Whose value stays where both have one and they differ. */
export type ConflictRule = 'keepTarget' | 'keepSource' | 'newest';

/** Where a conflict is. */
export interface ConflictContext {
  /** The collection that the source document is in. */
  readonly from: string;
  /** Absent where the whole document is asked about. */
  readonly field?: string;
  /**
   * The stored value at `path` with its exact BSON type, elsewhere.
   *
   * @param of one of the two documents; of one field's two values there is no need: an object keeps its types
   */
  keep<T>(path: string | readonly string[], of?: object): T;
}

/** Decides on one field. */
export type FieldConflict = (target: unknown, source: unknown, context: ConflictContext) => unknown;

/** Decides on the whole document, without its `_id`. */
export type DocumentConflict = (target: Document, source: Document, context: ConflictContext) => object | Reject;

/** One rule for all fields, a function for whole documents, or rules by field: `keepTarget` where none is named. */
export type OnConflict = ConflictRule | DocumentConflict | Readonly<Record<string, ConflictRule | FieldConflict>>;

/** What two documents have in common when they are the same. Undefined, null and '' have nothing in common. */
export type IdentityRule = (document: Document) => unknown;

/** What becomes of source documents once they are merged. */
export type Legacy = 'keep' | 'mark' | 'remove';

/** What an author gives to `merge()`. */
export interface MergeOptions {
  /** The canonical collection. */
  readonly into: string;
  /** By name; their order decides which `_id` stays, and whose fields come first. */
  readonly from: Readonly<Record<string, MergeFrom>>;
  /** Two documents are the same when any rule says so, or a third is the same as both; or when their `_id` is the same. */
  readonly identity: readonly IdentityRule[] | 'sameId';
  /** Default: `keepTarget`. */
  readonly onConflict?: OnConflict;
  /**
   * What becomes of the merged documents: they stay, say in `_mergedInto` which one they are part of, or are removed.
   * Marked and removed behind all other steps. Default: `keep`.
   */
  readonly source?: Legacy;
  /** The duplicates report of a dry run, as edited by a person: a file, looked for from the migration's folder upwards. */
  readonly decisions?: string;
  /** Where `[{ collection, id }]` is kept; false: nowhere but in the id map. Default: `_legacy`. */
  readonly provenance?: string | false;
}

/** A collection that is merged, as the engine sees it. */
export interface MergeSource {
  readonly collection: string;
  readonly map: TransformFunction;
  readonly filter: Filter<Document> | undefined;
}

/** A merge step as the engine sees it. */
export interface MergeStep {
  readonly kind: 'merge';
  /** The canonical one. */
  readonly collection: string;
  readonly sources: readonly MergeSource[];
  readonly identity: readonly IdentityRule[] | 'sameId';
  readonly onConflict: OnConflict;
  readonly provenance: string | false;
  readonly legacy: Legacy;
  readonly decisionsFile: string | null;
  /** Read when the migration is loaded. */
  readonly decisions: Decisions;
  /** What other steps may have, and a merge has not. */
  readonly filter: undefined;
  readonly lookup: Readonly<Record<string, never>>;
  readonly down: undefined;
  readonly drops: readonly string[];
}

/** True for a step that merges the one into the other. */
export const isMergeOf = (
  step: { readonly kind: string },
  { from, into }: { readonly from: string; readonly into: string },
): boolean => {
  const { kind, collection, sources } = step as MergeStep;
  return kind === 'merge' && collection === into && sources.some((source) => source.collection === from);
};

const KEYS = new Set(['into', 'from', 'identity', 'onConflict', 'source', 'provenance', 'decisions']);
const FROM_KEYS = new Set(['map', 'filter']);
const RULES: readonly unknown[] = ['keepTarget', 'keepSource', 'newest'];
const LEGACY: readonly Legacy[] = ['keep', 'mark', 'remove'];

function sourcesOf({ from, into }: MergeOptions): MergeSource[] {
  if (from === null || typeof from !== 'object' || Array.isArray(from))
    throw broken('merge().from as an object of collections', describe(from));
  const entries = Object.entries(from);
  if (entries.length === 0) throw broken('at least one collection in merge().from', 'none');
  return entries.map(([collection, options]) => {
    if (collection === into) throw broken('collections other than merge().into in merge().from', `"${into}"`);
    if (options === null || typeof options !== 'object')
      throw broken(`merge().from.${collection} as an object`, describe(options));
    requireKnownKeys(options, FROM_KEYS, `merge().from.${collection}`);
    const { map, filter } = options;
    if (typeof map !== 'function') throw broken(`merge().from.${collection}.map as a function`, describe(map));
    if (filter !== undefined && (filter === null || typeof filter !== 'object'))
      throw broken(`merge().from.${collection}.filter as an object`, describe(filter));
    return Object.freeze({ collection, map: map as unknown as TransformFunction, filter });
  });
}

function requireIdentity(identity: unknown): void {
  if (identity === 'sameId') return;
  if (!Array.isArray(identity) || identity.length === 0)
    throw broken("functions in merge().identity, or 'sameId'", Array.isArray(identity) ? 'none' : describe(identity));
  for (const rule of identity)
    if (typeof rule !== 'function') throw broken('functions in merge().identity', describe(rule));
}

function requireConflictRule(rule: unknown, where: string): void {
  if (typeof rule !== 'function' && !RULES.includes(rule))
    throw broken(
      `${RULES.join(', ')} or a function in ${where}`,
      typeof rule === 'string' ? `"${rule}"` : describe(rule),
    );
}

function requireOnConflict(onConflict: unknown): void {
  if (onConflict !== null && typeof onConflict === 'object' && !Array.isArray(onConflict)) {
    for (const [field, rule] of Object.entries(onConflict)) requireConflictRule(rule, `merge().onConflict.${field}`);
    return;
  }
  requireConflictRule(onConflict, 'merge().onConflict');
}

function requireProvenance(provenance: unknown): void {
  if (provenance === false) return;
  requireText(provenance, 'merge().provenance');
  if (provenance === '_id' || String(provenance).includes('.') || String(provenance).startsWith('$'))
    throw broken('a name other than "_id", without dots or "$", in merge().provenance', `"${provenance}"`);
}

/**
 * A step that merges collections into one.
 *
 * @example merge({ into: 'contacts', from: { clients: { map: ({ mail }) => ({ email: mail }) } }, identity: [({ email }) => email] })
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for an unknown key or value, or a missing function
 */
export function merge(options: MergeOptions): MergeStep {
  requireKnownKeys(options, KEYS, 'merge()');
  const { into, identity, onConflict = 'keepTarget', source: legacy = 'keep', provenance = '_legacy' } = options;
  requireText(into, 'merge().into');
  requireIdentity(identity);
  requireOnConflict(onConflict);
  requireProvenance(provenance);
  if (!LEGACY.includes(legacy)) throw broken(`one of ${LEGACY.join(', ')} in merge().source`, `"${legacy}"`);
  if (options.decisions !== undefined) requireText(options.decisions, 'merge().decisions');
  return madeStep({
    kind: 'merge',
    collection: into,
    sources: Object.freeze(sourcesOf(options)),
    ...{ identity, onConflict, provenance, legacy },
    ...{ decisionsFile: options.decisions ?? null, decisions: NO_DECISIONS },
    ...{ filter: undefined, lookup: {}, down: undefined, drops: [] },
  });
}
