/** The rollback of one batch, decided: which documents get what, by the table in docs/guide/rollback.md. */

import { sha256 } from '../kernel/raw-bson.js';
import type { AuditEntry } from './audit-entry.js';
import { isDocumentCarried, oddity } from './carried.js';
import { type Change, changeOf, type DocumentFailure, insertionOf, removalOf, withFields } from './change.js';
import { NO_UNDO, type UndoConflict, type UndoCounters, type UndoNote } from './chunk.js';
import { invert } from './invert.js';
import { encodePatch } from './patch.js';
import { type StoredDocument, typedFields, typedId } from './stored-document.js';

export interface UndoOptions {
  readonly collection: string;
  readonly onConflict: 'report' | 'force';
  /** The author's `down`, when given: decides about a document in conflict. Null when it cannot either. */
  readonly down: ((current: StoredDocument) => Change | null) | undefined;
  /** Documents that the server refused in an earlier try of this batch. */
  readonly refused: ReadonlyMap<string, DocumentFailure>;
  /** Documents that the server could not put together exactly in an earlier try of this batch. */
  readonly inexact: ReadonlySet<string>;
}

/**
 * How a document is written back. `fields`: some are set and removed. `whole`: the exact document is put in place,
 * since the order of its fields changed. `ordered`: the same for a document that JavaScript cannot carry or that is
 * huge; the server puts it together from the fields that it has. `removed`: it was not there before the run.
 * `reinserted`: the run has deleted it.
 */
export type RestoreKind = 'fields' | 'whole' | 'ordered' | 'removed' | 'reinserted';

/** A document to be written back. */
export interface Restore {
  readonly change: Change;
  readonly how: RestoreKind;
  /** Names in the order that they had. */
  readonly order: readonly string[];
}

/** Why a document is listed whose edits were to be overwritten. */
export const OVERWRITTEN = 'overwritten';

/** Largest document that is sent whole, in bytes: a statement must hold it. */
const MAX_WHOLE_BYTES = 8 * 1024 * 1024;

export interface UndoBatch {
  readonly restores: readonly Restore[];
  readonly counters: UndoCounters;
  readonly conflicts: readonly UndoConflict[];
  readonly notes: readonly UndoNote[];
}

export const NO_UNDO_BATCH: UndoBatch = { restores: [], counters: NO_UNDO, conflicts: [], notes: [] };

type Row = { readonly restore?: Restore; readonly conflict?: UndoConflict; readonly counts: keyof UndoCounters };

/** The fields that the run changed, as they were before. */
function fieldsBefore({ before, set: now, unset: gone }: AuditEntry): Pick<Change, 'set' | 'unset'> {
  const touched = new Set([...Object.keys(now), ...gone]);
  const fields = before.fields.filter(({ name }) => touched.has(name));
  const typed = typedFields(before, fields);
  const there = new Set(fields.map(({ name }) => name));
  const names = [...touched];
  return {
    set: new Map(names.filter((name) => there.has(name)).map((name) => [name, typed[name]])),
    unset: names.filter((name) => !there.has(name)),
  };
}

const byFields = (change: Change): Restore => ({ change, how: 'fields', order: [] });

function exactRow(entry: AuditEntry, current: StoredDocument, options: UndoOptions): Row {
  const { set, unset } = fieldsBefore(entry);
  const { after, changed } = withFields(current, set, unset);
  const { bytes, fields } = entry.before;
  const isSame = after.equals(bytes);
  const made = isSame || options.inexact.has(current.key) ? after : bytes;
  const patch = encodePatch(changed, unset);
  const change: Change = { before: current, after: made, hash: sha256(made), set, unset, patch };
  if (isSame) return { restore: byFields(change), counts: 'restored' };
  if (made === after) return { restore: byFields(change), counts: 'keptFields' };
  const how = bytes.length <= MAX_WHOLE_BYTES && isDocumentCarried(entry.before) ? 'whole' : 'ordered';
  return { restore: { change, how, order: fields.map(({ name }) => name) }, counts: 'restored' };
}

function conflictOf(
  current: StoredDocument,
  fields: readonly string[],
  because: string,
  options: UndoOptions,
): UndoConflict {
  return { collection: options.collection, id: typedId(current), fields, because };
}

/** A document that the run inserted goes, unless the application has changed it since. */
function insertedRow(entry: AuditEntry, current: StoredDocument, options: UndoOptions): Row {
  const restore: Restore = { change: removalOf(current), how: 'removed', order: [] };
  if (sha256(current.bytes).equals(entry.hash)) return { restore, counts: 'removed' };
  if (options.onConflict === 'force')
    return { restore, conflict: conflictOf(current, namesOf(current), OVERWRITTEN, options), counts: 'overwritten' };
  const because = 'the run inserted it, and the application changed it since';
  return { conflict: conflictOf(current, [], because, options), counts: 'conflicts' };
}

const namesOf = ({ fields }: StoredDocument): string[] =>
  fields.map(({ name }) => name).filter((name) => name !== '_id');

/** The change that puts `before` in the place of `current`. */
function replacement(before: StoredDocument, current: StoredDocument): Change {
  const names = new Set(namesOf(before));
  const fields = Object.entries(typedFields(before, before.fields)).filter(([name]) => names.has(name));
  const unset = namesOf(current).filter((name) => !names.has(name));
  return { ...changeOf(current, new Map(fields), unset), after: before.bytes, hash: sha256(before.bytes) };
}

/** A document that the run deleted comes back, unless there is another one with its `_id` by now. */
function deletedRow({ before }: AuditEntry, current: StoredDocument | undefined, options: UndoOptions): Row {
  if (!current) return { restore: { change: insertionOf(before), how: 'reinserted', order: [] }, counts: 'reinserted' };
  if (current.bytes.equals(before.bytes)) return { counts: 'alreadyBack' };
  if (options.onConflict === 'force') {
    const conflict = conflictOf(current, namesOf(current), OVERWRITTEN, options);
    return {
      restore: { change: replacement(before, current), how: 'whole', order: [] },
      conflict,
      counts: 'overwritten',
    };
  }
  const because = 'the run deleted it, and the application has inserted another one with its _id since';
  return { conflict: conflictOf(current, [], because, options), counts: 'conflicts' };
}

/** The server has refused it in an earlier try. */
function refusedRow(document: StoredDocument, refusal: DocumentFailure, options: UndoOptions): Row {
  const conflict = conflictOf(document, [], refusal.message, options);
  return { conflict: refusal.other ? { ...conflict, other: refusal.other } : conflict, counts: 'conflicts' };
}

/** @param current undefined: it is not there */
function decideRow(entry: AuditEntry, current: StoredDocument | undefined, options: UndoOptions): Row {
  const refusal = options.refused.get(entry.before.key);
  if (entry.kind === 'delete')
    return refusal ? refusedRow(entry.before, refusal, options) : deletedRow(entry, current, options);
  if (!current) return { counts: entry.kind === 'insert' ? 'alreadyBack' : 'goneSince' };
  if (entry.kind === 'insert') return insertedRow(entry, current, options);
  return refusal ? refusedRow(current, refusal, options) : updatedRow(entry, current, options);
}

function updatedRow(entry: AuditEntry, current: StoredDocument, options: UndoOptions): Row {
  const inverse = invert(entry, current, sha256(current.bytes), options.onConflict);
  // The run's fields are back, but the application edited others or their order: not as before the run, nothing to do.
  if (inverse.kind === 'alreadyBack')
    return { counts: current.bytes.equals(entry.before.bytes) ? 'alreadyBack' : 'keptFields' };
  if (inverse.kind === 'exact') return exactRow(entry, current, options);
  const odd = oddity(
    current,
    current.fields.filter(({ name }) => inverse.set.has(name)),
  );
  if (odd) return { conflict: conflictOf(current, [...inverse.set.keys()], odd, options), counts: 'conflicts' };
  const restore = byFields(changeOf(current, inverse.set, inverse.unset));
  if (inverse.conflicts.length === 0) return { restore, counts: 'keptFields' };
  const fields = inverse.conflicts.map(({ field }) => field);
  if (options.onConflict === 'force') {
    return { restore, conflict: conflictOf(current, fields, OVERWRITTEN, options), counts: 'overwritten' };
  }
  const byDown = options.down?.(current);
  if (byDown) return { restore: byFields(byDown), counts: 'keptFields' };
  const conflict = conflictOf(current, fields, 'the application changed the same fields since', options);
  const writes = inverse.set.size > 0 || inverse.unset.length > 0;
  return { ...(writes ? { restore } : {}), conflict, counts: 'conflicts' };
}

/** A batch whose audit was edited: nothing of it is written back, and its documents are listed. */
export function refuseUndo(ids: readonly unknown[], n: number, collection: string): UndoBatch {
  const because = 'the audit of its batch was changed outside Godwit';
  return {
    restores: [],
    counters: { ...NO_UNDO, conflicts: n },
    conflicts: ids.map((id) => ({ collection, id, fields: [], because })),
    notes: [],
  };
}

/** Decides a whole batch. `current` holds the documents that still exist, by key. */
export function decideUndo(
  entries: readonly AuditEntry[],
  current: ReadonlyMap<string, StoredDocument>,
  options: UndoOptions,
): UndoBatch {
  const restores: Restore[] = [];
  const conflicts: UndoConflict[] = [];
  const notes: UndoNote[] = [];
  const counters = { ...NO_UNDO } as { -readonly [Name in keyof UndoCounters]: number };
  for (const entry of entries) {
    const row = decideRow(entry, current.get(entry.before.key), options);
    counters[row.counts] += 1;
    if (row.restore) restores.push(row.restore);
    if (row.conflict) conflicts.push(row.conflict);
    else if (row.counts === 'keptFields' || row.counts === 'goneSince')
      notes.push({ collection: options.collection, id: typedId(entry.before), result: row.counts });
  }
  return { restores, counters, conflicts, notes };
}
