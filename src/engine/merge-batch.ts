/** What a batch of a merge decides, and what the id map keeps of a batch. */
import type { ClientSession } from 'mongodb';
import type { DecidedBatch, JournaledBatch, ReadBatch } from '../domain/batch.js';
import type { Decision } from '../domain/change.js';
import { isMergedAs } from '../domain/mapped.js';
import { decideGroup, type Member } from '../domain/merge-group.js';
import type { MergeStep } from '../domain/merge-step.js';
import { typedId } from '../domain/stored-document.js';
import { type RowsOf, rowId } from '../mongo/id-map.js';
import { type MergedRow, storeMerged, storeRemoved } from '../mongo/id-map-writes.js';
import { rowsOf } from './merge-source.js';
import type { StepContext } from './run-context.js';

/** One decision a canonical document, in their order. */
export const decideMerge = (step: MergeStep, { documents, members }: ReadBatch): Decision[] =>
  documents.map((document) => decideGroup(document, members?.get(document.key) ?? [], step).decision);

function rowOf(of: RowsOf, { collection, id, document, mapped, merged, removed }: Member): MergedRow[] {
  const _id = rowId(of, collection, id);
  if (!document) return merged ? [{ _id, merged: null }] : [];
  if (mapped?.kind !== 'mapped' || (isMergedAs(mapped.elements, merged) && !removed)) return [];
  return [{ _id, merged: mapped.elements }];
}

/** The rows of what the batch has merged, where they are not so already. */
function mergedRows(of: RowsOf, { members }: ReadBatch, { changes, untouched }: DecidedBatch): MergedRow[] {
  const taken = [...changes.map(({ before }) => before), ...untouched];
  return taken.flatMap(({ key }) => (members?.get(key) ?? []).flatMap((member) => rowOf(of, member)));
}

/** Keeps in the id map what a batch has merged, or removed behind a merge: in its transaction. */
export async function storeInIdMap(
  context: StepContext,
  read: ReadBatch,
  batch: JournaledBatch,
  session: ClientSession,
): Promise<void> {
  const { step, state, run } = context;
  if (step.kind === 'merge') await storeMerged(state, mergedRows(rowsOf(context), read, batch), session);
  if (step.kind !== 'legacy') return;
  const of = { run: run._id, step: step.mergeAt };
  const removed = batch.changes.filter(({ kind }) => kind === 'delete');
  const ids = removed.map(({ before }) => rowId(of, step.collection, typedId(before)));
  await storeRemoved(state, ids, session);
}
