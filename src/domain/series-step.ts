/**
 * Steps of one collection that follow each other are one unit of the engine: a document goes through all of them before
 * it is written, once (docs/decisions/0014). Nobody ever sees it between two of them, what the application writes
 * meanwhile goes through all of them, too, and its way back is one entry of the audit.
 */
import type { Document, Filter } from 'mongodb';
import { oddity } from './carried.js';
import { changeOf, type Decision, fail, fieldChanges } from './change.js';
import type { LegacyStep } from './legacy-step.js';
import type { MergeStep } from './merge-step.js';
import type { AnyStep, DocumentStep, Step, StepLookup, TransformFunction } from './migration.js';
import type { PlacedSchemaStep } from './schema-operation.js';
import { type GivenStep, partsOfScript, type ScriptPart } from './script-step.js';
import { documentSteps, isSchemaStep } from './step-order.js';
import { type StoredDocument, typedFields } from './stored-document.js';

export interface SeriesStep {
  readonly kind: 'series';
  readonly collection: string;
  /** What any of them chooses; undefined when one of them has every document. */
  readonly filter: Filter<Document> | undefined;
  /** In their order. */
  readonly steps: readonly DocumentStep[];
  /** Of all of them. */
  readonly lookup: Readonly<Record<string, StepLookup>>;
  readonly drops: readonly string[];
}

/** What makes one document of one. */
export type DocumentUnit = DocumentStep | SeriesStep | LegacyStep;

/** What the engine plans, runs and rolls back as one. */
export type Unit = DocumentStep | MergeStep | SeriesStep | LegacyStep | ScriptPart | GivenStep;

/** The author's steps in a unit. */
export function partsOf(unit: Unit): readonly Step[] {
  if (unit.kind === 'legacy' || unit.kind === 'script' || unit.kind === 'given') return [];
  return unit.kind === 'series' ? unit.steps : [unit];
}

/** The collections whose documents a unit takes. */
export const readBy = (unit: Unit): string[] =>
  unit.kind === 'merge' ? unit.sources.map(({ collection }) => collection) : [unit.collection];

/** Whether its documents are made with those of that collection. */
export const looksUp = ({ lookup }: Pick<Unit, 'lookup'>, collection: string): boolean =>
  Object.values<StepLookup>(lookup).some(({ from, merged }) => from === collection && merged === undefined);

/** Their inverses, in the order of a way back; undefined when one of them has none. */
export function downsOf(unit: Unit): readonly TransformFunction[] | undefined {
  const parts = partsOf(unit);
  const downs = parts.flatMap(({ down }) => down ?? []);
  return parts.length > 0 && downs.length === parts.length ? downs.reverse() : undefined;
}

function seriesOf(steps: readonly [DocumentStep, ...DocumentStep[]]): SeriesStep {
  const filters = steps.flatMap(({ filter }) => filter ?? []);
  const named = steps.flatMap(({ lookup }, at) =>
    Object.entries(lookup).map(([name, spec]) => [`${at + 1}.${name}`, spec as StepLookup] as const),
  );
  return {
    kind: 'series',
    collection: steps[0].collection,
    filter: filters.length === steps.length ? { $or: filters } : undefined,
    steps,
    lookup: Object.fromEntries(named),
    drops: [...new Set(steps.flatMap(({ drops }) => drops))],
  };
}

/** The schema steps of a migration, each with its place among the units. */
export const schemaStepsOf = (steps: readonly AnyStep[]): PlacedSchemaStep[] =>
  steps.flatMap((step, index) => (isSchemaStep(step) ? [{ at: unitsOf(steps.slice(0, index)).length, step }] : []));

/** The units of a migration's steps of documents, in their order. */
export function unitsOf(steps: readonly AnyStep[]): Unit[] {
  const groups: (MergeStep | ScriptPart | [DocumentStep, ...DocumentStep[]])[] = [];
  for (const step of documentSteps(steps)) {
    const last = groups.at(-1);
    if (step.kind === 'merge') groups.push(step);
    else if (step.kind === 'script') groups.push(...partsOfScript(step));
    else if (Array.isArray(last) && last[0].collection === step.collection) last.push(step);
    else groups.push([step]);
  }
  return groups.map((group) =>
    Array.isArray(group) ? (group.length === 1 ? group[0] : Object.freeze(seriesOf(group))) : group,
  );
}

/**
 * What became of a document after all steps, as one decision. Fields that were there keep their place, new ones follow
 * in the order of the last result: whatever the steps in between made of it.
 */
export function decideSeries(document: StoredDocument, last: StoredDocument): Decision {
  const { touched, changed, unset } = fieldChanges(document, last);
  if (changed.length === 0 && unset.length === 0) return { kind: 'unchanged', document };
  const odd = oddity(document, touched) ?? oddity(last, changed);
  if (odd) return fail(document, 'GODWIT_NOT_CARRIED', odd);
  const set = new Map(changed.map((field) => [field.name, typedFields(last, [field])[field.name]]));
  return { kind: 'changed', change: changeOf(document, set, unset) };
}
