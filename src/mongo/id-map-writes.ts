/** What is written to the id map: the plan, sources that came later, and what has been merged. */
import { type AnyBulkWriteOperation, Binary, type ClientSession } from 'mongodb';
import { bytesOf, type Elements } from '../domain/mapped.js';
import { type IdMapRow, type RowsOf, rowId } from './id-map.js';
import { STATE_FORMAT, type State } from './state.js';

/** A row as it is made. */
export interface NewRow extends Pick<IdMapRow, 'from' | 'id' | 'into' | 'canonical' | 'keys' | 'order' | 'planned'> {
  readonly leads?: true;
}

const toRow = (of: RowsOf, row: NewRow): IdMapRow => ({
  _id: rowId(of, row.from, row.id),
  godwit: STATE_FORMAT,
  run: of.run,
  step: of.step,
  ...row,
  merged: null,
});

export async function insertRows(
  state: State,
  of: RowsOf,
  rows: readonly NewRow[],
  session?: ClientSession,
): Promise<void> {
  if (rows.length === 0) return;
  await state.idMap.insertMany(
    rows.map((row) => toRow(of, row)),
    { ordered: true, ...(session ? { session } : {}) },
  );
}

/** The keys of a document that was edited, or whose `map` does not fail any more. */
export async function storeKeys(
  state: State,
  _id: string,
  set: Pick<IdMapRow, 'keys' | 'canonical'>,
  session: ClientSession,
): Promise<void> {
  await state.idMap.updateOne({ _id }, { $set: set }, { session });
}

/** What has become of a source document in a batch. */
export interface MergedRow {
  readonly _id: string;
  /** Null: it is gone. */
  readonly merged: Elements | null;
}

/** Keeps the elements that were merged, in the transaction of their batch. */
export async function storeMerged(state: State, rows: readonly MergedRow[], session: ClientSession): Promise<void> {
  if (rows.length === 0) return;
  await state.idMap.bulkWrite(
    rows.map(
      ({ _id, merged }): AnyBulkWriteOperation<IdMapRow> => ({
        updateOne: {
          filter: { _id },
          update: { $set: { merged: merged && new Binary(bytesOf(merged)) }, $unset: { removed: '' } },
        },
      }),
    ),
    { session },
  );
}

/** Rows of source documents that their batch removes, in its transaction. */
export async function storeRemoved(state: State, ids: readonly string[], session: ClientSession): Promise<void> {
  if (ids.length > 0)
    await state.idMap.updateMany({ _id: { $in: [...ids] } }, { $set: { removed: true } }, { session });
}

/** The rows of a run that is rolled back, or was never frozen. */
export async function dropRows(state: State, run: string): Promise<void> {
  await state.idMap.deleteMany({ run });
}
