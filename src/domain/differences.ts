/**
 * Where a document and what became of it differ, told from their bytes: objects by their names, arrays by their items.
 * What is stored in another way is never invisible: of values that differ in no part, but in their bytes, the whole is
 * one difference (other order of the names, another NaN).
 */

import { assemble, BSON_TYPE, type RawField, scanFields } from '../kernel/raw-bson.js';
import { toTyped, typeName } from '../kernel/values.js';
import type { Change } from './change.js';

/** Names, and the places of items in an array as numbers: after the change, of a removed one before it. */
export type FieldPath = readonly (string | number)[];

/** One value that differs. Either side is undefined where there is none. */
export interface FieldDifference {
  readonly path: FieldPath;
  /** Typed, as `after` is. */
  readonly before: unknown;
  readonly after: unknown;
}

/** `lines.0.price`. */
export const pathText = (path: FieldPath): string => path.join('.');

/** `lines[].price`: the same for every item of an array. */
export const foldedPath = (path: FieldPath): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');

/** `lines.price`: as MongoDB names it. */
export const plainPath = (path: FieldPath): string => path.filter((part) => typeof part === 'string').join('.');

/** `array<int32>`, `object`, `string`: the type, for arrays with that of their items. */
export function typeOf(value: unknown): string {
  if (!Array.isArray(value)) return typeName(value);
  const kinds = new Set(value.map(typeName));
  return kinds.size === 0 ? 'array' : `array<${[...kinds].sort().join('|')}>`;
}

/** A value where it lies. */
interface Placed {
  readonly bytes: Buffer;
  readonly field: RawField;
}

const placed = (bytes: Buffer): Placed[] => scanFields(bytes).map((field) => ({ bytes, field }));

const inside = ({ bytes, field }: Placed): Placed[] => placed(bytes.subarray(field.valueStart, field.end));

/** Shown for bytes that JavaScript cannot read. */
const UNREADABLE = '(not readable)';

function valueAt(place: Placed | undefined): unknown {
  if (!place) return undefined;
  const { bytes, field } = place;
  try {
    return toTyped(assemble([bytes.subarray(field.start, field.end)]))[field.name];
  } catch {
    return UNREADABLE;
  }
}

const isSame = (a: Placed, b: Placed): boolean =>
  a.field.type === b.field.type &&
  a.bytes.subarray(a.field.valueStart, a.field.end).equals(b.bytes.subarray(b.field.valueStart, b.field.end));

/** DBRef is one value, though it is stored as an object. */
const isReference = (items: readonly Placed[]): boolean => items[0]?.field.name === '$ref';

const leaf = (path: FieldPath, before: Placed | undefined, after: Placed | undefined): FieldDifference => ({
  path,
  before: valueAt(before),
  after: valueAt(after),
});

function differing(before: Placed | undefined, after: Placed | undefined, path: FieldPath): FieldDifference[] {
  if (before && after && isSame(before, after)) return [];
  const type = before?.field.type;
  const isBranch = type === after?.field.type && (type === BSON_TYPE.object || type === BSON_TYPE.array);
  if (!before || !after || !isBranch) return [leaf(path, before, after)];
  const [old, now] = [inside(before), inside(after)];
  if (isReference(old) || isReference(now)) return [leaf(path, before, after)];
  const found = type === BSON_TYPE.array ? ofItems(old, now, path) : ofNames(old, now, path);
  return found.length > 0 ? found : [leaf(path, before, after)];
}

/** By their names; of one that occurs twice, the last. */
function ofNames(old: readonly Placed[], now: readonly Placed[], path: FieldPath): FieldDifference[] {
  const [before, after] = [old, now].map((items) => new Map(items.map((item) => [item.field.name, item])));
  const names = new Set([...old, ...now].map(({ field }) => field.name));
  return [...names].flatMap((name) => differing(before?.get(name), after?.get(name), [...path, name]));
}

/** Items are matched from both ends: what was put in or taken out in the middle moves the rest, but does not change it. */
function ofItems(old: readonly Placed[], now: readonly Placed[], path: FieldPath): FieldDifference[] {
  const least = Math.min(old.length, now.length);
  const same = (at: number, from: number): boolean => {
    const [a, b] = [old[from < 0 ? old.length - 1 - at : at], now[from < 0 ? now.length - 1 - at : at]];
    return a !== undefined && b !== undefined && isSame(a, b);
  };
  let first = 0;
  while (first < least && same(first, 0)) first += 1;
  let last = 0;
  while (last < least - first && same(last, -1)) last += 1;
  const [before, after] = [old.slice(first, old.length - last), now.slice(first, now.length - last)];
  const count = Math.max(before.length, after.length);
  return Array.from({ length: count }, (_, at) => differing(before[at], after[at], [...path, first + at])).flat();
}

/** What a change does, value by value, in the order of the document. */
export function differencesOf(change: Pick<Change, 'before' | 'after' | 'set' | 'unset'>): FieldDifference[] {
  const touched = new Set([...change.set.keys(), ...change.unset]);
  const of = (bytes: Buffer): Placed[] => placed(bytes).filter(({ field }) => touched.has(field.name));
  const after = change.after.length === 0 ? [] : of(change.after);
  return ofNames(of(change.before.bytes), after, []);
}
