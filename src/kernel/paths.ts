/** Values at a path of names, through arrays item by item. `*` stands for every name of an object that is a map. */
import { type Doc, isPlainObject } from './values.js';

/** Every value of a map. */
export const ANY_NAME = '*';

/** Whether one of the two paths is the other, or leads through it. */
export const overlaps = (a: string, b: string): boolean => a === b || a.startsWith(`${b}.`) || b.startsWith(`${a}.`);

/** The values at the path. An array at its end counts item by item; what is not there does not count. */
export function valuesAt(value: unknown, path: readonly string[]): unknown[] {
  if (Array.isArray(value)) return value.flatMap((item) => valuesAt(item, path));
  const [name, ...rest] = path;
  if (name === undefined) return value === undefined ? [] : [value];
  if (value === null || typeof value !== 'object') return [];
  if (name === ANY_NAME) return Object.values(value).flatMap((inner) => valuesAt(inner, rest));
  return valuesAt((value as Doc)[name], rest);
}

/** Returned for a value that is to be taken away: out of its array, or with the name that holds it. */
export const GONE = Symbol('gone');

/**
 * The same with other values at the path. What does not change is the very same object, arrays and all, so that its
 * bytes stay as they are stored.
 *
 * @param change called with each value that `valuesAt` finds, null but for
 */
export function mapAt(value: unknown, path: readonly string[], change: (leaf: unknown) => unknown): unknown {
  if (Array.isArray(value)) return mapItems(value, path, change);
  const [name, ...rest] = path;
  if (name === undefined) return value === null || value === undefined ? value : change(value);
  if (!isPlainObject(value)) return value;
  const names = name === ANY_NAME ? Object.keys(value) : Object.hasOwn(value, name) ? [name] : [];
  const changed = new Map<string, unknown>();
  for (const own of names) {
    const next = mapAt(value[own], rest, change);
    if (!Object.is(next, value[own])) changed.set(own, next);
  }
  if (changed.size === 0) return value;
  const entries = Object.entries(value).map(([own, old]) => [own, changed.has(own) ? changed.get(own) : old] as const);
  return Object.fromEntries(entries.filter(([, next]) => next !== GONE));
}

function mapItems(items: readonly unknown[], path: readonly string[], change: (leaf: unknown) => unknown): unknown {
  const mapped = items.map((item) => mapAt(item, path, change));
  if (mapped.every((item, at) => Object.is(item, items[at]))) return items;
  return mapped.filter((item) => item !== GONE);
}
