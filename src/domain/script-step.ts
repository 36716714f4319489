/**
 * A step in the author's own words, for what no other step says. It writes through helpers that go the same way as
 * everything else (audit, checkpoint, fence, quarantine), so that it is dry-runnable and taken back like any step.
 */
import type { ObjectId } from 'bson';
import type { Document, Filter } from 'mongodb';
import { broken, describe, madeStep, requireKnownKeys, requireText } from './author-checks.js';
import type { DocumentStep, ReadOnlyDb, Reject, Skip, TransformContext } from './migration.js';
import type { StoredDocument } from './stored-document.js';

/** What `up` of a script makes of one document. Pure, synchronous, and idempotent: a script that was stopped runs again. */
export type ScriptChange = (
  document: Document,
  context: Pick<TransformContext<Record<never, never>>, 'keep' | 'skip' | 'reject'>,
) => object | Skip | Reject;

/** What a helper has done; of a look ahead, what it would do. */
export interface ScriptResult {
  /** Documents that it met. */
  readonly scanned: number;
  /** … of which it wrote so many. */
  readonly written: number;
}

/** What a script is given. Its helpers work one after the other, whoever waits for them. */
export interface ScriptContext {
  /** Changes what the filter chooses, by a function as in `transform()`, or by stages as in `pipeline()`. */
  update(
    collection: string,
    filter: Filter<Document>,
    change: ScriptChange | readonly Document[],
  ): Promise<ScriptResult>;
  /** Inserts documents that have an `_id`. One that is there already, as it is, is met again and left. */
  insert(collection: string, documents: readonly Document[]): Promise<ScriptResult>;
  /** Gives the document with this `_id` these fields, and no others. Nothing happens where there is none. */
  replace(collection: string, document: Document): Promise<ScriptResult>;
  /** Removes what the filter chooses. */
  remove(collection: string, filter: Filter<Document>): Promise<ScriptResult>;
  /**
   * An ObjectId that is the same for the same values in the same migration: for what is inserted. A fresh one would be
   * another when the script is run again, and the document be there twice.
   */
  id(...seed: unknown[]): ObjectId;
  /** The database, for reading. In a dry run it is as it was before the script. */
  readonly db: ReadOnlyDb;
}

/** What an author gives to `script()`. */
export interface ScriptOptions {
  /** Every collection that it writes to. */
  readonly collections: readonly string[];
  /** Called once; after a stop, from its beginning: what it did already it meets again. */
  up(context: ScriptContext): Promise<void>;
}

/** A script as its author has made it. */
export interface ScriptStep {
  readonly kind: 'script';
  readonly collections: readonly [string, ...string[]];
  readonly up: (context: ScriptContext) => Promise<void>;
  /** The first of them, for whoever asks what a step is about. */
  readonly collection: string;
  readonly filter: undefined;
  readonly lookup: Readonly<Record<string, never>>;
  readonly down: undefined;
  readonly drops: readonly string[];
}

/** One collection of a script, as the engine sees it: a place in the plan for what is written to it. */
export interface ScriptPart {
  readonly kind: 'script';
  readonly collection: string;
  readonly script: ScriptStep;
  /** The one that has the script run. */
  readonly leads: boolean;
  readonly filter: undefined;
  readonly lookup: Readonly<Record<string, never>>;
  readonly drops: readonly string[];
}

/** Documents by the keys of their `_id`s. */
export type GivenDocuments = ReadonlyMap<string, StoredDocument>;

/** Documents that are to be put in, or taken away, by a helper. */
export interface GivenStep {
  readonly kind: 'given';
  readonly collection: string;
  readonly filter: Filter<Document> | undefined;
  readonly lookup: Readonly<Record<string, never>>;
  readonly drops: readonly string[];
  /** Inserted where they are not there; undefined: what is there is removed. */
  readonly insert: GivenDocuments | undefined;
}

/** What a helper has the engine do. */
export type HelperStep = DocumentStep | GivenStep;

const KEYS = new Set(['collections', 'up']);

/**
 * A step in the author's own words.
 *
 * @example script({ collections: ['teams'], async up(ctx) { await ctx.insert('teams', [{ _id: 'none', name: 'No team' }]); } })
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for an unknown key, no collections, or no `up`
 */
export function script(options: ScriptOptions): ScriptStep {
  requireKnownKeys(options, KEYS, 'script()');
  const { collections, up } = options;
  if (!Array.isArray(collections) || collections.length === 0)
    throw broken('every collection that it writes to in script().collections', describe(collections));
  for (const name of collections) requireText(name, 'script().collections');
  if (new Set(collections).size < collections.length)
    throw broken('each collection once in script().collections', 'one twice');
  if (typeof up !== 'function') throw broken('script().up as a function', describe(up));
  return madeStep({
    kind: 'script',
    collections: Object.freeze([...collections]) as readonly [string, ...string[]],
    up: up.bind(options),
    ...{ collection: String(collections[0]), filter: undefined, lookup: {}, down: undefined, drops: [] },
  });
}

export const partsOfScript = (step: ScriptStep): ScriptPart[] =>
  step.collections.map((collection, at) =>
    Object.freeze({
      kind: 'script',
      collection,
      script: step,
      leads: at === 0,
      filter: undefined,
      lookup: {},
      drops: [],
    }),
  );
