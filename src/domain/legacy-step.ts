/**
 * What becomes of a merge's source documents once they are merged: they are marked, or removed. A unit of its own for
 * each source, behind all others of the migration: what the application still reads goes last, and comes back first.
 */
import type { MergeSource, MergeStep } from './merge-step.js';
import type { PlacedSchemaStep } from './schema-operation.js';
import type { Unit } from './series-step.js';

/** Where a marked document says which one it is part of: `{ collection, id }`. */
export const MERGED_INTO = '_mergedInto';

export interface LegacyStep {
  readonly kind: 'legacy';
  /** A source of the merge. */
  readonly collection: string;
  readonly filter: MergeSource['filter'];
  readonly fate: 'mark' | 'remove';
  readonly merge: MergeStep;
  /** Its place among the units. */
  readonly mergeAt: number;
  readonly source: MergeSource;
  /** What steps of an author's may have, and this has not. */
  readonly lookup: Readonly<Record<string, never>>;
  readonly drops: readonly string[];
}

function legacyOf(unit: Unit, mergeAt: number): LegacyStep[] {
  if (unit.kind !== 'merge' || unit.legacy === 'keep') return [];
  const { legacy: fate, sources } = unit;
  return sources.map((source) =>
    Object.freeze({
      kind: 'legacy',
      ...{ collection: source.collection, filter: source.filter },
      ...{ fate, merge: unit, mergeAt, source, lookup: {}, drops: [] },
    }),
  );
}

/**
 * The units of a migration, with those that its merges leave behind. Schema steps at the end stay at the end.
 *
 * @param authored the units of the author's steps
 */
export function withLegacy(
  authored: readonly Unit[],
  schema: readonly PlacedSchemaStep[],
): { readonly units: readonly Unit[]; readonly schema: readonly PlacedSchemaStep[] } {
  const units = [...authored, ...authored.flatMap(legacyOf)];
  const placed = schema.map(({ at, step }) => ({ at: at === authored.length ? units.length : at, step }));
  return { units, schema: placed };
}
