/** Which fields a migration changes, how often, and between which types; and which values disappear. */
import type { Change } from '../domain/change.js';
import { type StoredDocument, typedFields } from '../domain/stored-document.js';
import { bsonType, type Doc, isPlainObject, toTyped, typeName } from '../kernel/values.js';

export interface FieldCounts {
  /** Documents in which the field is set (added or changed). */
  set: number;
  /** Documents in which it is removed. */
  unset: number;
  /** Documents in which its type changes. */
  typeChange: number;
  /** `int32 -> array<object>` and how often. */
  readonly types: Record<string, number>;
  /** True when the field is new in every document where it is set. */
  added: boolean;
}

/** One field that differs between before and after, by its path. Either side is undefined where the field is absent. */
export interface FieldDifference {
  readonly path: readonly string[];
  readonly before: unknown;
  readonly after: unknown;
}

/** Paths beyond this number are counted under `…`: documents keyed by ids would fill the report. */
const MAX_PATHS = 400;
const OTHERS = '…';

/** `array<int32>`, `object`, `string`: the type, for arrays with that of their elements. */
export function typeOf(value: unknown): string {
  if (!Array.isArray(value)) return typeName(value);
  const kinds = new Set(value.map(typeName));
  return kinds.size === 0 ? 'array' : `array<${[...kinds].sort().join('|')}>`;
}

const isBranch = (value: unknown): value is Doc => isPlainObject(value) && bsonType(value) === undefined;

function exactly(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (item === undefined) return '\u0000';
    if (typeof item === 'number') return `n${Object.is(item, -0) ? '-0' : item}`;
    return item !== null && typeof item === 'object' && bsonType(item) !== undefined
      ? [typeName(item), String(item), JSON.stringify(item)]
      : item;
  });
}

/** Leaves that differ; objects are entered, arrays are one value. */
function* differences(before: unknown, after: unknown, path: readonly string[]): Generator<FieldDifference> {
  if (isBranch(before) && isBranch(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)]))
      yield* differences(before[name], after[name], [...path, name]);
    return;
  }
  if (typeOf(before) !== typeOf(after) || exactly(before) !== exactly(after)) yield { path, before, after };
}

/** What a change does, field by field, in the order of the document. */
export function differencesOf(change: Change): FieldDifference[] {
  const touched = new Set([...change.set.keys(), ...change.unset]);
  const fields = change.before.fields.filter(({ name }) => touched.has(name));
  const before = typedFields(change.before, fields);
  const after = toTyped(change.after);
  const names = [
    ...fields.map(({ name }) => name),
    ...[...change.set.keys()].filter((name) => !Object.hasOwn(before, name)),
  ];
  return names.flatMap((name) => [
    ...differences(before[name], touched.has(name) ? after[name] : before[name], [name]),
  ]);
}

/** Counts differences by path. */
export class FieldHistogram {
  readonly #counts = new Map<string, FieldCounts>();

  add(found: readonly FieldDifference[]): void {
    for (const difference of found) this.#addOne(difference);
  }

  #addOne({ path, before, after }: FieldDifference): void {
    const name = path.join('.');
    const key = this.#counts.has(name) || this.#counts.size < MAX_PATHS ? name : OTHERS;
    const counts = this.#counts.get(key) ?? { set: 0, unset: 0, typeChange: 0, types: {}, added: true };
    this.#counts.set(key, counts);
    if (after === undefined) counts.unset += 1;
    else counts.set += 1;
    if (before !== undefined) counts.added = false;
    const [from, to] = [typeOf(before), typeOf(after)];
    if (before === undefined || after === undefined || from === to) return;
    counts.typeChange += 1;
    const label = `${from} -> ${to}`;
    counts.types[label] = (counts.types[label] ?? 0) + 1;
  }

  toJSON(): Record<string, FieldCounts> {
    return Object.fromEntries(this.#counts);
  }
}

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
  readonly path: string;
  readonly value: unknown;
}

function* leavesOf(value: unknown, path: readonly string[]): Generator<Leaf> {
  if (isBranch(value)) for (const [name, item] of Object.entries(value)) yield* leavesOf(item, [...path, name]);
  else if (value !== null && value !== undefined && value !== '') yield { path: path.join('.'), value };
}

/** Counts values of removed fields that are found nowhere in the document afterwards, by path. */
export class Disappearances {
  readonly #counts = new Map<string, number>();
  readonly #meant: ReadonlySet<string>;

  /** @param drops paths whose values are meant to disappear */
  constructor(drops: readonly string[]) {
    this.#meant = new Set(drops);
  }

  #isMeant(path: string): boolean {
    const names = path.split('.');
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
      if (!isThere) this.#counts.set(path, (this.#counts.get(path) ?? 0) + 1);
    }
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort((a, b) => b[1] - a[1]));
  }
}
