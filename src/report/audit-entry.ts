/** One audit entry for people: which fields changed, from what to what. */
import type { AuditDocument, AuditEntry } from '../domain/audit-entry.js';
import { changeOf } from '../domain/change.js';
import { differencesOf, pathText, plainPath } from '../domain/differences.js';
import type { ChangeKind } from '../domain/patch.js';
import { type Sample, sampleOf, type Visibility } from './samples.js';

export interface RenderedEntry extends Sample {
  readonly direction: 'up' | 'down';
  readonly kind: ChangeKind;
  readonly seq: number;
  readonly at: string;
  /** Of the after image. */
  readonly sha256: string;
}

export function renderEntry(
  collection: string,
  head: AuditDocument,
  entry: AuditEntry,
  options: Visibility & { readonly field?: string | undefined },
): RenderedEntry {
  const removed = entry.before.fields.map(({ name }) => name).filter((name) => name !== '_id');
  const unset = entry.kind === 'delete' ? removed : entry.unset;
  const change = changeOf(entry.before, new Map(Object.entries(entry.set)), unset);
  const { field } = options;
  const differences = differencesOf(change).filter(
    ({ path }) =>
      field === undefined ||
      [pathText(path), plainPath(path)].some((name) => name === field || name.startsWith(`${field}.`)),
  );
  return {
    ...sampleOf(collection, change, differences, options),
    direction: head.direction,
    kind: entry.kind,
    seq: head.seq,
    at: head.at.toISOString(),
    sha256: entry.hash.toString('hex'),
  };
}
