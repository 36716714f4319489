/**
 * The way back for one document: what to write so that the run's changes are undone and the application's later edits
 * are kept. Compared on bytes; the rows of the table are those of docs/guide/rollback.md.
 */

import { assemble, elementsOf, type RawField } from '../kernel/raw-bson.js';
import { toBytes, toTyped } from '../kernel/values.js';
import type { AuditEntry } from './audit-entry.js';
import { type StoredDocument, slice } from './stored-document.js';

/** A field whose value is neither what the run wrote nor what was there before. */
export interface FieldConflict {
  readonly field: string;
}

export type Inverse =
  /** The document is as the run left it: the exact before image goes back. */
  | { readonly kind: 'exact' }
  /** Already as before the run. */
  | { readonly kind: 'alreadyBack' }
  /** Field by field. `keptEdits`: the application changed other fields since. */
  | {
      readonly kind: 'fields';
      readonly set: ReadonlyMap<string, unknown>;
      readonly unset: readonly string[];
      readonly conflicts: readonly FieldConflict[];
    };

const byName = (document: StoredDocument): Map<string, RawField> =>
  new Map(document.fields.map((field) => [field.name, field]));

const isSame = (a: Buffer | undefined, b: Buffer | undefined): boolean =>
  a === undefined || b === undefined ? a === b : a.equals(b);

/**
 * How `current` goes back to what `entry` holds.
 *
 * @param currentHash SHA-256 of the current bytes
 * @param onConflict `force` overwrites a field that the application changed since
 */
export function invert(
  entry: AuditEntry,
  current: StoredDocument,
  currentHash: Buffer,
  onConflict: 'report' | 'force',
): Inverse {
  if (current.bytes.equals(entry.before.bytes)) return { kind: 'alreadyBack' };
  if (currentHash.equals(entry.hash)) return { kind: 'exact' };

  const after = elementsOf(toBytes(new Map(Object.entries(entry.set))));
  const beforeFields = byName(entry.before);
  const currentFields = byName(current);
  const set = new Map<string, unknown>();
  const unset: string[] = [];
  const conflicts: FieldConflict[] = [];
  for (const name of [...Object.keys(entry.set), ...entry.unset]) {
    const beforeField = beforeFields.get(name);
    const currentField = currentFields.get(name);
    const was = beforeField && slice(entry.before, beforeField);
    const is = currentField && slice(current, currentField);
    if (isSame(is, was)) continue;
    if (!isSame(is, after.get(name))) {
      conflicts.push({ field: name });
      if (onConflict === 'report') continue;
    }
    if (was) set.set(name, toTyped(assemble([was]))[name]);
    else unset.push(name);
  }
  if (set.size === 0 && unset.length === 0 && conflicts.length === 0) return { kind: 'alreadyBack' };
  return { kind: 'fields', set, unset, conflicts };
}
