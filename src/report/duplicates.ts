/**
 * The duplicates report of a merge: every group of two documents or more, with the fields in which they differ and whose
 * value the rules would keep. No values: files show none. A person edits it (`apart`, `kept`), and the merge obeys.
 */
import { stringify } from 'csv-stringify/sync';
import { refOf } from '../domain/merge-decisions.js';
import type { Member, MergeConflict } from '../domain/merge-group.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { ShownId } from './shown-id.js';

interface DuplicateMember {
  readonly collection: string;
  readonly _id: ShownId;
  readonly ref: string;
  /** True: it is nobody else. */
  readonly apart: boolean;
}

interface DuplicateConflict {
  readonly field: string;
  /** The source document that brings another value. */
  readonly from: string;
  readonly ref: string;
  readonly kept: MergeConflict['kept'];
}

export interface Duplicate {
  /** Of the canonical document. */
  readonly _id: ShownId;
  /** It is in the canonical collection already. */
  readonly exists: boolean;
  readonly members: readonly DuplicateMember[];
  readonly conflicts: readonly DuplicateConflict[];
}

/** One group. */
export const duplicateOf = (
  document: StoredDocument,
  members: readonly Member[],
  conflicts: readonly MergeConflict[],
): Duplicate => ({
  _id: new ShownId(typedId(document)),
  exists: document.isAbsent !== true,
  members: members.map(({ collection, id }) => ({
    ...{ collection, _id: new ShownId(id), ref: refOf(collection, id), apart: false },
  })),
  conflicts: conflicts.map(({ field, from, id, kept }) => ({ field, from, ref: refOf(from, id), kept })),
});

/** One line a document: for people who sort and filter. */
export function duplicatesCsv(groups: readonly Duplicate[]): string {
  const rows = groups.flatMap(({ _id, exists, members, conflicts }, at) =>
    members.map(({ collection, _id: id, ref, apart }) => ({
      ...{ group: at + 1, canonical: _id.text(false), exists, collection, _id: id.text(false), ref, apart },
      conflicts: conflicts
        .filter((conflict) => conflict.ref === ref)
        .map(({ field, kept }) => `${field}: ${kept}`)
        .join('; '),
    })),
  );
  return stringify(rows, {
    header: true,
    columns: ['group', 'canonical', 'exists', 'collection', '_id', 'ref', 'apart', 'conflicts'],
    cast: { boolean: String },
  });
}
