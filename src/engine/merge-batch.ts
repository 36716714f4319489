/** What a batch of a merge decides, and what the id map keeps of it. */
import type { DecidedBatch, ReadBatch } from '../domain/batch.js';
import type { Decision } from '../domain/change.js';
import { isMergedAs } from '../domain/mapped.js';
import { decideGroup, type Member } from '../domain/merge-group.js';
import type { MergeStep } from '../domain/merge-step.js';
import { type RowsOf, rowId } from '../mongo/id-map.js';
import type { MergedRow } from '../mongo/id-map-writes.js';

/** One decision a canonical document, in their order. */
export const decideMerge = (step: MergeStep, { documents, members }: ReadBatch): Decision[] =>
  documents.map((document) => decideGroup(document, members?.get(document.key) ?? [], step).decision);

function rowOf(of: RowsOf, { collection, id, document, mapped, merged }: Member): MergedRow[] {
  const _id = rowId(of, collection, id);
  if (!document) return merged ? [{ _id, merged: null }] : [];
  if (mapped?.kind !== 'mapped' || isMergedAs(mapped.elements, merged)) return [];
  return [{ _id, merged: mapped.elements }];
}

/** The rows of what the batch has merged, where they are not so already. */
export function mergedRows(of: RowsOf, { members }: ReadBatch, { changes, untouched }: DecidedBatch): MergedRow[] {
  const taken = [...changes.map(({ before }) => before), ...untouched];
  return taken.flatMap(({ key }) => (members?.get(key) ?? []).flatMap((member) => rowOf(of, member)));
}
