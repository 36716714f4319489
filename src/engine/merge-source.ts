/** Where the batches of a merge come from: the plan's canonical `_id`s, or a list of them. */
import { type Chunk, rangeFilter } from '../domain/chunk.js';
import type { MergeStep } from '../domain/merge-step.js';
import { mergedOf, type RowsOf, readCanonicals, readMembers } from '../mongo/id-map.js';
import { keyOf } from '../mongo/lookups.js';
import type { Author } from './map-sources.js';
import { type GroupFacts, readGroups } from './merge-members.js';
import { readFrom, type StepContext } from './run-context.js';
import type { IdsOptions, Source } from './source.js';

export const rowsOf = ({ run, stepIndex }: StepContext): RowsOf => ({ run: run._id, step: stepIndex });

export const authorOf = ({ locate, settings }: StepContext): Author => ({
  locate,
  timeoutMs: settings.transformTimeoutMs,
});

/** The rows of the id map say what belongs together. */
export const factsOf = (context: StepContext, step: MergeStep): GroupFacts => ({
  ...{ step, into: readFrom(context), sources: context.sources, author: authorOf(context) },
  rowsOf: async (canonicals, session) =>
    (await readMembers(context.state, rowsOf(context), canonicals, session)).map((row) => ({
      ...row,
      merged: mergedOf(row),
    })),
});

/** Canonical `_id`s of the chunk's range after its cursor. */
export function mergeSource(context: StepContext, step: MergeStep, chunk: Chunk): Source {
  return {
    closesChunk: true,
    counts: 'all',
    read: async ({ limit, maxBytes, session }) => {
      const range = chunk.range && rangeFilter(chunk.range, chunk.cursor);
      if (!range) return { documents: [], hasMore: false };
      const canonicals = await readCanonicals(context.state, rowsOf(context), range, limit, session);
      const read = await readGroups(factsOf(context, step), canonicals, { maxBytes, session });
      return { ...read, hasMore: read.hasMore || canonicals.length === limit };
    },
  };
}

/** The canonical documents with these `_id`s, but for those that are done. */
export function mergeIdsSource(
  context: StepContext,
  step: MergeStep,
  ids: readonly unknown[],
  options: IdsOptions,
): Source {
  return {
    closesChunk: false,
    counts: options.counts,
    read: async ({ limit, maxBytes, session }) => {
      const done = new Set(options.done.map(keyOf));
      const open = ids.filter((id) => !done.has(keyOf(id)));
      const read = await readGroups(factsOf(context, step), open.slice(0, limit), { maxBytes, session });
      return { ...read, hasMore: read.hasMore || open.length > limit };
    },
  };
}
