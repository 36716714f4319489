/**
 * A step that runs inside the server: an update pipeline. It gives the same result whenever it is asked for, since it
 * is evaluated before it is written (docs/decisions/0012), and once more when a batch is redone.
 */
import type { Document, Filter } from 'mongodb';
import { broken, describe, madeStep, requireChoice, requireKnownKeys, requireText } from './author-checks.js';

/** What an author gives to `pipeline()`. */
export interface PipelineOptions {
  readonly collection: string;
  /** Which documents; every one when left out. An empty object is refused: say `all: true`. */
  readonly filter?: Filter<Document>;
  /** Says that every document is meant. */
  readonly all?: true;
  /** Stages of an update: `$set`, `$unset`, `$project`, `$replaceWith` and their synonyms. */
  readonly update: readonly Document[];
  /** Top-level names or dotted paths whose values are meant to disappear. */
  readonly drops?: readonly string[];
}

/** A pipeline step as the engine sees it. */
export interface PipelineStep {
  readonly kind: 'pipeline';
  readonly collection: string;
  readonly filter: Filter<Document> | undefined;
  readonly update: readonly Document[];
  readonly drops: readonly string[];
  /** It looks nothing up, and the audit is its way back. */
  readonly lookup: Readonly<Record<string, never>>;
  readonly down: undefined;
}

const KEYS = new Set(['collection', 'filter', 'all', 'update', 'drops']);

/** Stages that the server allows in an update (MongoDB manual, "Update with Aggregation Pipeline"). */
const STAGES = ['$set', '$addFields', '$unset', '$project', '$replaceWith', '$replaceRoot'];

/** Whose value is another one each time: what was evaluated would not be what is written. */
const UNSTEADY_VARIABLES = ['$$NOW', '$$CLUSTER_TIME'];
const UNSTEADY_OPERATORS = ['$rand', '$sampleRate'];

/** The first expression that is not steady; undefined when there is none. Literals are taken as they are. */
function unsteady(value: unknown): string | undefined {
  if (typeof value === 'string')
    return UNSTEADY_VARIABLES.find((name) => value === name || value.startsWith(`${name}.`));
  if (value === null || typeof value !== 'object') return undefined;
  if (Array.isArray(value)) return firstUnsteady(value);
  const entries = Object.entries(value);
  return (
    entries.map(([key]) => key).find((key) => UNSTEADY_OPERATORS.includes(key)) ??
    firstUnsteady(entries.filter(([key]) => key !== '$literal').map(([, inner]) => inner))
  );
}

function firstUnsteady(values: readonly unknown[]): string | undefined {
  for (const value of values) {
    const found = unsteady(value);
    if (found !== undefined) return found;
  }
  return undefined;
}

function requireStage(stage: unknown): void {
  if (stage === null || typeof stage !== 'object' || Array.isArray(stage))
    throw broken('stages as objects in pipeline().update', describe(stage));
  const [name, ...others] = Object.keys(stage);
  if (name === undefined || others.length > 0 || !STAGES.includes(name))
    throw broken(`stages of an update (${STAGES.join(', ')}), one name each`, Object.keys(stage).join(', ') || '{}');
  const found = unsteady(stage);
  if (found !== undefined) throw broken('a pipeline that gives the same whenever it is evaluated', found);
}

function requireStages(update: unknown): void {
  if (!Array.isArray(update) || update.length === 0)
    throw broken('pipeline().update as an array of stages', describe(update));
  for (const stage of update) requireStage(stage);
}

/**
 * A step that turns one document into one document inside the server, by an update pipeline: with the same audit,
 * checkpoint, dry run and rollback as a transform.
 *
 * @example pipeline({ collection: 'contacts', update: [{ $set: { email: { $toLower: '$email' } } }] })
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for an unknown key, an empty filter, a stage that no update may have, or
 *   an expression that differs each time (`$$NOW`, `$rand`)
 */
export function pipeline(options: PipelineOptions): PipelineStep {
  requireKnownKeys(options, KEYS, 'pipeline()');
  requireText(options.collection, 'pipeline().collection');
  requireChoice(options, 'pipeline()');
  requireStages(options.update);
  return madeStep({
    kind: 'pipeline',
    collection: options.collection,
    filter: options.filter,
    update: options.update,
    drops: options.drops ?? [],
    lookup: {},
    down: undefined,
  });
}
