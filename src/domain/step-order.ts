/** Which steps may follow which: what one finds under a name must be what the one before it has left there. */
import { broken, describe, isMadeStep } from './author-checks.js';
import type { MergeStep } from './merge-step.js';
import type { AnyStep, Step, TransformStep } from './migration.js';
import { collectionsOf, type SchemaStep } from './schema-operation.js';

export const isSchemaStep = (step: AnyStep): step is SchemaStep => step.kind === 'schema';

export const isReferences = (step: Step): step is TransformStep =>
  step.kind === 'transform' && step.refers !== undefined;

/** The steps about documents, in their order. */
export const documentSteps = (steps: readonly AnyStep[]): Step[] =>
  steps.flatMap((step) => (isSchemaStep(step) ? [] : [step]));

/** @throws GodwitError GODWIT_MIGRATION_BROKEN */
export function requireSteps(steps: readonly AnyStep[] | undefined): void {
  if (!Array.isArray(steps) || steps.length === 0) throw broken('at least one step in `steps`', describe(steps));
  const seen = new Set<string>();
  let last: string | undefined;
  for (const step of steps) {
    if (!isMadeStep(step))
      throw broken(
        'steps made by transform(), pipeline(), merge(), references(), script() or schema',
        `${describe(step)} that none of them made`,
      );
    if (isSchemaStep(step)) {
      last = undefined;
      continue;
    }
    if (seen.has(step.collection) && step.collection !== last)
      throw broken(
        'the steps of a collection one after the other (or two migrations)',
        `others between those of "${step.collection}"`,
      );
    last = step.collection;
    seen.add(step.collection);
  }
  requireMergesAlone(documentSteps(steps));
  requireScriptsAlone(documentSteps(steps));
  requireSchemaPlaces(steps);
}

const namesIn = (step: AnyStep): string[] => {
  if (isSchemaStep(step)) return collectionsOf(step.operation);
  if (step.kind === 'merge') return [step.collection, ...step.sources.map(({ collection }) => collection)];
  if (step.kind === 'script') return [...step.collections];
  return [step.collection, ...Object.values(step.lookup).map(({ from }) => from)];
};

/** Collections that a step is about: what it only looks up is none. */
const ownOf = (step: Step): string[] =>
  step.kind === 'merge' || step.kind === 'script' ? namesIn(step) : [step.collection];

/** What a step finds under a name must be what the one before it has left there. */
function requireSchemaPlaces(steps: readonly AnyStep[]): void {
  const first = steps.findIndex((step) => !isSchemaStep(step));
  for (const [at, step] of steps.entries()) {
    if (!isSchemaStep(step)) continue;
    const { kind } = step.operation;
    const others = steps.filter((one) => one !== step);
    if (kind === 'createCollection') {
      if (first >= 0 && at > first)
        throw broken('schema.createCollection() before all steps of documents', `"${step.collection}" behind one`);
      const reader = documentSteps(steps).find((one) => one.kind !== 'merge' && ownOf(one).includes(step.collection));
      if (reader) throw broken('documents in the collection of a step', `"${step.collection}", which is new`);
    }
    const other = kind === 'renameCollection' && others.flatMap(namesIn).find((name) => namesIn(step).includes(name));
    if (other)
      throw broken(
        'the collections of schema.renameCollection() or dropCollection() in no other step (or two migrations: `dependsOn`)',
        `another step of "${other}"`,
      );
  }
}

/** What a merge reads and writes is decided before the first write: no other step may change it meanwhile. */
function requireMergesAlone(steps: readonly Step[]): void {
  for (const step of steps) {
    if (step.kind !== 'merge') continue;
    const own = [step.collection, ...step.sources.map(({ collection }) => collection)];
    const other = steps.find((one) => one !== step && own.includes(one.collection));
    if (other)
      throw broken(
        'the collections of merge() in no other step (or two migrations: `dependsOn`)',
        `another step of "${other.collection}"`,
      );
    requireOwnSources(step, steps);
  }
}

/** What a script has written, no other step may call its own: it would be written again by the one, and not by the other. */
function requireScriptsAlone(steps: readonly Step[]): void {
  for (const step of steps) {
    if (step.kind !== 'script') continue;
    const others = steps.filter((one) => one !== step).flatMap(ownOf);
    const both = step.collections.find((name) => others.includes(name));
    if (both !== undefined)
      throw broken(
        'the collections of script() in no other step (or two migrations: `dependsOn`)',
        `another step of "${both}"`,
      );
  }
}

/** Gone for the one, they would be missed by the other. */
function requireOwnSources(step: MergeStep, steps: readonly Step[]): void {
  if (step.legacy === 'keep') return;
  const others = steps.flatMap((one) => (one.kind === 'merge' && one !== step ? one.sources : []));
  const both = step.sources.find(({ collection }) => others.some((other) => other.collection === collection));
  if (both)
    throw broken(
      `the sources of merge() with source: '${step.legacy}' in no other merge`,
      `another merge of "${both.collection}"`,
    );
}
