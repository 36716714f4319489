/**
 * Documents whose transform reads another document by `lookup`: when that one changes, they have to be looked at
 * again (a snapshot does not conflict with a change of what was only read).
 */
import type { Document, Filter } from 'mongodb';
import type { StepLookup } from '../domain/migration.js';
import { ANY_NAME, valuesAt } from '../kernel/paths.js';
import type { ChangeEvent } from '../mongo/changes.js';
import type { StepContext } from './run-context.js';

/** What a merge reads counts as well. */
export const lookedUpCollections = (steps: readonly StepContext[]): string[] =>
  steps.flatMap(({ step, sources }) => [...sources.keys(), ...Object.values(step.lookup).map(({ from }) => from)]);

/** Values by which the changed document is looked up now; null when it is gone or has none. */
async function foreignValues(
  context: StepContext,
  from: string,
  field: string,
  id: unknown,
): Promise<unknown[] | null> {
  if (field === '_id') return [id];
  const found = await context.db.collection(from).findOne({ _id: id } as Filter<Document>, { promoteValues: false });
  const values = found ? valuesAt(found, field.split('.')) : [];
  return values.length > 0 ? values : null;
}

/** Later steps that look up what this one writes. What a merge writes they look at as a whole in the end. */
export function readersOf(context: StepContext, steps: readonly StepContext[]): StepContext[] {
  const { step, stepIndex } = context;
  if (step.kind === 'merge') return [];
  return steps.filter(
    (other) =>
      other.stepIndex > stepIndex &&
      Object.values<StepLookup>(other.step.lookup).some(({ from }) => from === step.collection),
  );
}

/** A path without the places in arrays that it goes through. */
const withoutPlaces = (path: string): string =>
  path
    .split('.')
    .filter((name) => !/^\d+$/.test(name))
    .join('.');

const overlaps = (a: string, b: string): boolean => a === b || a.startsWith(`${b}.`) || b.startsWith(`${a}.`);

/** True when the document may have had another key before, by which others still know it; deleted, it may be back since. */
function mayHaveHadAnother(key: string, { kind, paths }: ChangeEvent): boolean {
  if (kind === 'inserted' || key === '_id') return false;
  return !paths || paths.some((path) => overlaps(withoutPlaces(path), withoutPlaces(key)));
}

/**
 * `_id`s of the documents of this step that read the changed one.
 *
 * @returns `unknown` when the event does not tell by which value they did: it was deleted, or its key is gone or another
 */
export async function dependantsOf(context: StepContext, event: ChangeEvent): Promise<readonly unknown[] | 'unknown'> {
  const ids: unknown[] = [];
  // What was merged into what, Godwit itself decides.
  for (const { from, localField, foreignField, merged } of Object.values<StepLookup>(context.step.lookup)) {
    if (from !== event.collection || merged !== undefined) continue;
    if (mayHaveHadAnother(foreignField, event)) return 'unknown';
    const values = await foreignValues(context, from, foreignField, event.id);
    // No filter says "under any name".
    if (values === null || localField.split('.').includes(ANY_NAME)) return 'unknown';
    const filter = { [localField]: { $in: values } } as Filter<Document>;
    const found = await context.target.find(filter, { projection: { _id: 1 }, promoteValues: false }).toArray();
    ids.push(...found.map(({ _id }) => _id as unknown));
  }
  return ids;
}
