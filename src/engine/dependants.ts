/**
 * Documents whose transform reads another document by `lookup`: when that one changes, they have to be looked at
 * again (a snapshot does not conflict with a change of what was only read).
 */
import type { Document, Filter } from 'mongodb';
import type { StepLookup } from '../domain/migration.js';
import { looksUp } from '../domain/series-step.js';
import { keyOf } from '../domain/stored-document.js';
import { ANY_NAME, overlaps, valuesAt } from '../kernel/paths.js';
import type { ChangeEvent } from '../mongo/changes.js';
import { findTarget } from '../mongo/target.js';
import type { StepContext } from './run-context.js';

/** What a merge reads counts as well. */
export const lookedUpCollections = (steps: readonly StepContext[]): string[] =>
  steps.flatMap(({ step, sources }) => [...sources.keys(), ...Object.values(step.lookup).map(({ from }) => from)]);

/** True when something is looked up in a view or a time series: no change stream tells of what changes there. */
export async function looksUpUntold(steps: readonly StepContext[]): Promise<boolean> {
  for (const { db, step } of steps)
    for (const { from } of Object.values<StepLookup>(step.lookup)) {
      const kind = (await findTarget(db, from))?.kind;
      if (kind === 'view' || kind === 'timeseries') return true;
    }
  return false;
}

interface ForeignValues {
  readonly values: readonly unknown[];
  /** None of the documents is gone, or has none. */
  readonly isWhole: boolean;
}

/** Values by which these documents are looked up now. */
async function foreignValues(
  { db }: StepContext,
  from: string,
  field: string,
  ids: readonly unknown[],
): Promise<ForeignValues> {
  if (field === '_id') return { values: ids, isWhole: true };
  const filter = { _id: { $in: ids } } as Filter<Document>;
  const path = field.split('.');
  const projection = { [String(path[0])]: 1 };
  const found = await db.collection(from).find(filter, { projection, promoteValues: false }).toArray();
  const values = found.map((document) => valuesAt(document, path));
  const isWhole = found.length === ids.length && values.every(({ length }) => length > 0);
  return { values: values.flat(), isWhole };
}

/** Later steps that look up what this one writes. What a merge writes they look at as a whole in the end. */
export function readersOf(context: StepContext, steps: readonly StepContext[]): StepContext[] {
  const { step, stepIndex } = context;
  if (step.kind === 'merge') return [];
  return steps.filter((other) => other.stepIndex > stepIndex && looksUp(other.step, step.collection));
}

/** A path without the places in arrays that it goes through. */
const withoutPlaces = (path: string): string =>
  path
    .split('.')
    .filter((name) => !/^\d+$/.test(name))
    .join('.');

/** True when the document may have had another key before, by which others still know it; deleted, it may be back since. */
function mayHaveHadAnother(key: string, { kind, paths }: ChangeEvent): boolean {
  if (kind === 'inserted' || key === '_id') return false;
  return !paths || paths.some((path) => overlaps(withoutPlaces(path), withoutPlaces(key)));
}

export interface Dependants {
  /** `_id`s. */
  readonly ids: readonly unknown[];
  /** Not all of them can be told: a looked-up document was deleted, or its key is gone or another. */
  readonly hasUnknown: boolean;
}

const isOfDocument = ({ kind, collection }: ChangeEvent, from: string): boolean =>
  collection === from && kind !== 'replaced-collection';

const onceEach = (events: readonly ChangeEvent[]): unknown[] => [
  ...new Map(events.map(({ id }) => [keyOf(id), id])).values(),
];

/** The documents of this step that read those that changed: one question for each lookup, however many did. */
export async function dependantsOf(context: StepContext, events: readonly ChangeEvent[]): Promise<Dependants> {
  const ids: unknown[] = [];
  let hasUnknown = false;
  // What was merged into what, Godwit itself decides.
  for (const { from, localField, foreignField, merged } of Object.values<StepLookup>(context.step.lookup)) {
    const own = merged === undefined ? events.filter((event) => isOfDocument(event, from)) : [];
    const open = own.filter((event) => !mayHaveHadAnother(foreignField, event));
    if (open.length < own.length) hasUnknown = true;
    if (open.length === 0) continue;
    const { values, isWhole } = await foreignValues(context, from, foreignField, onceEach(open));
    // No filter says "under any name".
    if (!isWhole || localField.split('.').includes(ANY_NAME)) hasUnknown = true;
    const filter = { [localField]: { $in: values } } as Filter<Document>;
    const found = await context.target.find(filter, { projection: { _id: 1 }, promoteValues: false }).toArray();
    ids.push(...found.map(({ _id }) => _id as unknown));
  }
  return { ids, hasUnknown };
}
