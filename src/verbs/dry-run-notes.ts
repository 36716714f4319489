/** What a dry run tells beside its figures: what could not be checked, and what will be slow. */
import type { Document, Filter } from 'mongodb';
import type { StepLookup } from '../domain/migration.js';
import { looksUp } from '../domain/series-step.js';
import { overlaps } from '../kernel/paths.js';
import type { LoadedMigration } from '../migration/load.js';
import type { StepAnalysis } from '../report/step-analysis.js';
import type { Session } from './session.js';

/** Paths that a step changes or removes, as filters name them. */
const changedPaths = ({ fields }: StepAnalysis): string[] =>
  Object.entries(fields.toJSON()).flatMap(([path, { set, unset }]) =>
    set + unset > 0 ? [path.replaceAll('[]', '')] : [],
  );

/** Lookups of values, which may be others later in the run. */
const valuesLookedUp = ({ step }: StepAnalysis): StepLookup[] =>
  Object.values<StepLookup>(step.lookup).filter(({ keysOnly, merged }) => !keysOnly && merged === undefined);

const isIn = (field: string, changed: readonly string[]): boolean => changed.some((path) => overlaps(field, path));

/** Who looked something up is found by what it was looked up by, while that is there. */
function lostKeys(analysis: StepAnalysis): string[] {
  const changed = changedPaths(analysis);
  return valuesLookedUp(analysis)
    .filter(({ localField }) => isIn(localField, changed))
    .map(
      ({ from, localField }) =>
        `lookup: ${analysis.step.collection}.${localField} is changed or removed, so documents that are through keep what they read in ${from} when that changes later in the run`,
    );
}

/** Paths that an expression names. */
function pathsIn(expression: unknown): string[] {
  if (typeof expression === 'string') return /^\$[^$]/.test(expression) ? [expression.slice(1)] : [];
  return expression !== null && typeof expression === 'object' ? Object.values(expression).flatMap(pathsIn) : [];
}

/** Paths by which a filter chooses. */
const chosenBy = (filter: Filter<Document> = {}): string[] =>
  Object.entries(filter).flatMap(([name, value]) => {
    if (!name.startsWith('$')) return [name];
    return Array.isArray(value) ? value.flatMap(chosenBy) : pathsIn(value);
  });

/** Who is not chosen any more is not asked again. */
function passedOver(analysis: StepAnalysis): string[] {
  const { collection, filter } = analysis.step;
  const changed = changedPaths(analysis);
  const [field] = chosenBy(filter).filter((path) => isIn(path, changed));
  if (field === undefined) return [];
  return valuesLookedUp(analysis).map(
    ({ from }) =>
      `lookup: the filter chooses by ${collection}.${field}, which is changed: documents that it no longer chooses keep what they read in ${from} when that changes later in the run`,
  );
}

/** The server would not wait for anybody. */
const expiringIn = ({ step, expiring }: StepAnalysis): string[] =>
  expiring
    .list()
    .map(
      ({ index, documents }) =>
        `${documents} ${documents === 1 ? 'document' : 'documents'} of ${step.collection} would be DELETED at once by the TTL index ${index}: the date has passed`,
    );

export async function warningsOf(
  session: Session,
  loaded: LoadedMigration,
  steps: readonly StepAnalysis[],
): Promise<string[]> {
  const warnings = steps.flatMap((step) => [...lostKeys(step), ...passedOver(step), ...expiringIn(step)]);
  for (const step of loaded.units)
    for (const { from, foreignField, merged } of Object.values<StepLookup>(step.lookup)) {
      if (foreignField === '_id' || merged !== undefined) continue;
      const indexes = await session.db
        .collection(from)
        .indexes()
        .catch(() => []);
      const isIndexed = indexes.some((index) => Object.keys(index.key as object)[0] === foreignField);
      if (!isIndexed)
        warnings.push(`lookup: ${from}.${foreignField} has no index, so each batch reads the whole collection`);
    }
  return warnings;
}

export function notCheckedOf(steps: readonly StepAnalysis[]): string[] {
  return steps.flatMap(({ step, collisions, isValidatorUnknown, unseen, unsureFailures }, at) => [
    ...(unseen === 0
      ? []
      : [
          `what a script does to the ${unseen} documents that it inserts into ${step.collection} before: they are not there yet`,
        ]),
    ...collisions.unsure.map(
      (index) => `unique index ${step.collection}.${index}: an earlier step decides who has which key`,
    ),
    ...unsureFailures
      .list()
      .map(
        ({ count, code, message }) =>
          `${count} documents of ${step.collection}: they would fail now (${code}: ${message}), but an earlier step writes what they look up`,
      ),
    ...collisions.unchecked.map(
      (index) =>
        `unique index ${step.collection}.${index}: partial, collated or over arrays, so collisions show only in the run`,
    ),
    ...steps
      .slice(0, at)
      .filter((earlier) => looksUp(step, earlier.step.collection))
      .map(
        (earlier) =>
          `what ${step.collection} looks up in ${earlier.step.collection}: an earlier step changes that, and here it was as it is now`,
      ),
    ...(isValidatorUnknown ? [`validator of ${step.collection}: this server cannot be asked without writing`] : []),
  ]);
}
