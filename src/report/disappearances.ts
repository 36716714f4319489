/** Values that a migration takes away and that are found nowhere in the document afterwards. */
import type { Change } from '../domain/change.js';
import { type FieldDifference, type FieldPath, foldedPath, plainPath } from '../domain/differences.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { bsonType, type Doc, isPlainObject, toTyped } from '../kernel/values.js';

const isBranch = (value: unknown): value is Doc => isPlainObject(value) && bsonType(value) === undefined;

/** Words and numbers of a value, lower-case, so that a text that was split or trimmed still counts as there. */
function tokensOf(value: unknown, into: Set<string>): void {
  if (typeof value === 'string') {
    for (const token of value.toLowerCase().split(/[^\p{L}\p{N}]+/u)) if (token !== '') into.add(token);
    return;
  }
  if (value === null || value === undefined) return;
  if (value instanceof Date) tokensOf(Number.isNaN(value.getTime()) ? '' : value.toISOString(), into);
  else if (Array.isArray(value)) for (const item of value) tokensOf(item, into);
  else if (isBranch(value)) for (const item of Object.values(value)) tokensOf(item, into);
  else tokensOf(String(value), into);
}

interface Leaf {
  readonly path: FieldPath;
  readonly value: unknown;
}

function* leavesOf(value: unknown, path: FieldPath): Generator<Leaf> {
  if (isBranch(value)) for (const [name, item] of Object.entries(value)) yield* leavesOf(item, [...path, name]);
  else if (value !== null && value !== undefined && value !== '') yield { path, value };
}

/** Counts them by path. */
export class Disappearances {
  readonly #counts = new Map<string, number>();
  readonly #meant: ReadonlySet<string>;

  /** @param drops paths whose values are meant to disappear */
  constructor(drops: readonly string[]) {
    this.#meant = new Set(drops);
  }

  #isMeant(path: FieldPath): boolean {
    const names = plainPath(path).split('.');
    return names.some((_name, index) => this.#meant.has(names.slice(0, index + 1).join('.')));
  }

  add(change: Change, found: readonly FieldDifference[]): void {
    const removed = found
      .filter(({ after }) => after === undefined)
      .flatMap(({ path, before }) => [...leavesOf(before, path)]);
    this.#count(removed, change.after);
  }

  /** A document that goes, and what of it is in another one. @param name of its collection, before the paths */
  addRemoved(removed: StoredDocument, name: string, kept: Buffer): void {
    const { _id, ...fields } = toTyped(removed.bytes);
    this.#count([...leavesOf(fields, [name])], kept);
  }

  #count(removed: readonly Leaf[], kept: Buffer): void {
    const unmeant = removed.filter(({ path }) => !this.#isMeant(path));
    if (unmeant.length === 0) return;
    const there = new Set<string>();
    tokensOf(toTyped(kept), there);
    for (const { path, value } of unmeant) {
      const wanted = new Set<string>();
      tokensOf(value, wanted);
      const isThere = [...wanted].every((token) => there.has(token));
      const name = foldedPath(path);
      if (!isThere) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    }
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort((a, b) => b[1] - a[1]));
  }
}
