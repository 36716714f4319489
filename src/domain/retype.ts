/**
 * From what a transform returned to what is stored: a value left at its path keeps its BSON type (a double 1.0 stays
 * a double though JavaScript sees 1), one that was moved keeps it where its origin is proved, `keep()` is resolved,
 * values of other copies of `bson` are rebuilt, and what BSON cannot hold is refused by its path.
 */
import { bsonType, type Doc, isPlainObject, type Plain, rewrap, type Typed, typeName } from '../kernel/values.js';
import { isKept, outcomeOf } from './migration.js';
import type { Origins } from './origins.js';

/** Thrown for a value that BSON cannot hold; `path` says where. */
export class UnstorableValue extends Error {
  constructor(path: readonly string[], found: string) {
    super(`${path.join('.')} is ${found}, which cannot be stored`);
    this.name = 'UnstorableValue';
  }
}

/** The server's own limit on nesting, in levels. */
const MAX_DEPTH = 180;

function put(target: Doc, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

function child(parent: unknown, key: string | number): unknown {
  return parent !== null && typeof parent === 'object' && Object.hasOwn(parent, key)
    ? (parent as Record<string | number, unknown>)[key]
    : undefined;
}

/**
 * The typed value to store for `value`, which the transform returned at `path`.
 *
 * @param plain what the transform was given at that path, or undefined
 * @param typed the stored value at that path, exactly, or undefined
 * @throws UnstorableValue for a function, a symbol, a class instance, a cycle or a foreign class without a twin
 */
export function retype(value: unknown, plain: Plain, typed: Typed, origins: Origins, path: readonly string[]): Typed {
  if (value === null || typeof value !== 'object') return retypeScalar(value, plain, typed, origins, path);
  if (path.length > MAX_DEPTH)
    throw new UnstorableValue(path.slice(0, 3), `nested deeper than ${MAX_DEPTH} levels, or a cycle`);
  // Left as it was given, which is frozen: the exact value, all the way down.
  if (value === plain && typed !== undefined) return typed;
  if (isKept(value)) {
    const kept = origins.kept(value);
    if (!kept) throw new UnstorableValue(path, 'a keep() of a document that the function was not given');
    return requireDates(kept.value, path);
  }
  const exact = origins.exactOf(value);
  if (exact !== undefined) return exact;
  if (outcomeOf(value)) throw new UnstorableValue(path, 'a skip() or reject() inside a document');
  if (value instanceof Date) return requireDates(value, path);
  if (value instanceof RegExp || value instanceof Uint8Array) return value;
  if (bsonType(value) !== undefined) return retypeBson(value, origins, path);
  if (Array.isArray(value))
    return value.map(
      (item, index) =>
        retype(item, child(plain, index), child(typed, index), origins, [...path, String(index)]) ?? null,
    );
  const entries = entriesOf(value, path);
  const result: Doc = {};
  for (const [key, item] of entries) {
    requireName(key, path);
    const next = retype(item, child(plain, key), child(typed, key), origins, [...path, key]);
    if (next !== undefined) put(result, key, next);
  }
  return result;
}

/** A name with a null byte cannot be written: BSON ends names with one. @throws UnstorableValue */
export function requireName(name: string, path: readonly string[]): void {
  if (name.includes('\0'))
    throw new UnstorableValue([...path, name.replaceAll('\0', '\\0')], 'a field whose name holds a null byte');
}

function entriesOf(value: object, path: readonly string[]): Iterable<[string, unknown]> {
  if (value instanceof Map) return [...value.entries()].map(([key, item]) => [String(key), item]);
  if (isPlainObject(value)) return Object.entries(value);
  if (value instanceof Promise) throw new UnstorableValue(path, 'a promise');
  throw new UnstorableValue(path, `an instance of class ${value.constructor?.name ?? 'unknown'}`);
}

/** The value as it is; refused where it holds a date that `bson` would write as 1970. */
function requireDates(value: Typed, path: readonly string[]): Typed {
  if (value instanceof Date && Number.isNaN(value.getTime()))
    throw new UnstorableValue(path, "an invalid date, or one beyond JavaScript's");
  if (Array.isArray(value) || isPlainObject(value))
    for (const [key, item] of Object.entries(value)) requireDates(item, [...path, key]);
  return value;
}

function retypeBson(value: object, origins: Origins, path: readonly string[]): Typed {
  const own = rewrap(value, (inner) => retype(inner, undefined, undefined, origins, [...path, bsonType(value) ?? '']));
  if (own === undefined) throw new UnstorableValue(path, `a BSON value of unknown class "${bsonType(value)}"`);
  return own;
}

function retypeScalar(value: unknown, plain: Plain, typed: Typed, origins: Origins, path: readonly string[]): Typed {
  if (typeof value === 'function' || typeof value === 'symbol') throw new UnstorableValue(path, `a ${typeof value}`);
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) !== value)
    throw new UnstorableValue(path, 'an integer of more than 64 bits');
  const isSame = Object.is(value, plain) && typed !== undefined && typed !== null;
  if (isSame) return typeof value === 'number' || typeName(typed) === 'symbol' ? typed : value;
  return typeof value === 'number' || typeof value === 'string' ? (origins.moved(value) ?? value) : value;
}
