/** What a script's helpers have done, each as a step that the engine knows. */
import type { Document, Filter } from 'mongodb';
import { broken, describe } from './author-checks.js';
import { type DocumentStep, type TransformOptions, transform } from './migration.js';
import { pipeline } from './pipeline-step.js';
import type { GivenDocuments, GivenStep, ScriptChange } from './script-step.js';

const choiceOf = (filter: Filter<Document>) =>
  Object.keys(filter).length === 0 ? ({ all: true } as const) : { filter };

function requireFilter(filter: unknown, what: string): void {
  if (filter === null || typeof filter !== 'object' || Array.isArray(filter))
    throw broken(`a filter in ${what} ({} for every document)`, describe(filter));
}

/** @throws GodwitError GODWIT_MIGRATION_BROKEN */
export function updateStep(
  collection: string,
  filter: Filter<Document>,
  change: ScriptChange | readonly Document[],
): DocumentStep {
  requireFilter(filter, 'ctx.update()');
  if (Array.isArray(change)) return pipeline({ collection, update: change, ...choiceOf(filter) });
  if (typeof change !== 'function') throw broken('a function or stages in ctx.update()', describe(change));
  const up = change as TransformOptions<Document, Document, Record<never, never>>['up'];
  return transform<Document, Document, Record<never, never>>({ collection, up, ...choiceOf(filter) });
}

/** @throws GodwitError GODWIT_MIGRATION_BROKEN */
export function replaceStep(collection: string, document: Document): DocumentStep {
  if (document === null || typeof document !== 'object' || document['_id'] === undefined)
    throw broken('a document with an _id in ctx.replace()', describe(document));
  const { _id, ...fields } = document;
  return updateStep(collection, { _id } as Filter<Document>, (found) => ({ _id: found['_id'], ...fields }));
}

const given = (collection: string, filter: GivenStep['filter'], insert: GivenDocuments | undefined): GivenStep => ({
  ...{ kind: 'given', collection, filter, insert, lookup: {}, drops: [] },
});

export const insertStep = (collection: string, insert: GivenDocuments): GivenStep =>
  given(collection, undefined, insert);

/** @throws GodwitError GODWIT_MIGRATION_BROKEN */
export function removeStep(collection: string, filter: Filter<Document>): GivenStep {
  requireFilter(filter, 'ctx.remove()');
  return given(collection, Object.keys(filter).length === 0 ? undefined : filter, undefined);
}
