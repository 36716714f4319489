/**
 * The types that a migration gives to values: paths that would hold two, and numbers that would get another type than
 * the equal number had that is no longer where it was.
 */
import { bsonType, type Doc, isPlainObject, typeName } from '../kernel/values.js';
import { type FieldDifference, type FieldPath, foldedPath, pathText } from './differences.js';

/** Documents by type, by path. */
export type TypesByPath = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Paths beyond this number are not looked at: documents keyed by ids would fill the report. */
const MAX_PATHS = 400;

interface Leaf {
  readonly path: FieldPath;
  readonly value: unknown;
}

function* leavesOf(value: unknown, path: FieldPath): Generator<Leaf> {
  if (Array.isArray(value)) for (const [at, item] of value.entries()) yield* leavesOf(item, [...path, at]);
  else if (isPlainObject(value) && bsonType(value) === undefined)
    for (const [name, item] of Object.entries(value as Doc)) yield* leavesOf(item, [...path, name]);
  else if (value !== undefined && value !== null) yield { path, value };
}

const NUMBERS = new Set(['int32', 'int64', 'double', 'decimal128']);
const isNumber = ({ value }: Leaf): boolean => NUMBERS.has(typeName(value));

/** Equal exactly when the server calls the numbers equal; of a Decimal128 up to the digits that a double has. */
function numberKey(value: unknown): string {
  const text = String(value);
  return bsonType(value) === 'Long' ? text : String(Number(text));
}

class Counts {
  readonly #byPath = new Map<string, Map<string, number>>();

  /** @param found labels by path, of one document */
  add(found: ReadonlyMap<string, ReadonlySet<string>>): void {
    for (const [path, labels] of found) {
      const counts = this.#byPath.get(path) ?? new Map<string, number>();
      if (!this.#byPath.has(path) && this.#byPath.size >= MAX_PATHS) continue;
      this.#byPath.set(path, counts);
      for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
    }
  }

  /** Of paths with so many labels at least. */
  list(least: number): TypesByPath {
    const paths = [...this.#byPath].filter(([, counts]) => counts.size >= least);
    return Object.fromEntries(paths.map(([path, counts]) => [path, Object.fromEntries(counts)]));
  }
}

function note(into: Map<string, Set<string>>, path: FieldPath, label: string): void {
  const name = foldedPath(path);
  into.set(name, (into.get(name) ?? new Set()).add(label));
}

/** How the type of a number that is new at its path differs from that of the equal ones that went; undefined: not. */
function retypedFrom({ path, value }: Leaf, gone: readonly Leaf[]): string | undefined {
  const key = numberKey(value);
  const equals = gone.filter((one) => numberKey(one.value) === key);
  const same = equals.find((one) => pathText(one.path) === pathText(path));
  const [first] = same ? [same] : equals;
  if (!first || (!same && equals.some((one) => typeName(one.value) === typeName(value)))) return undefined;
  const from = typeName(first.value);
  return from === typeName(value) ? undefined : `${from} -> ${typeName(value)}`;
}

/** Of the documents that change. */
export class NumberTypes {
  readonly #types = new Counts();
  readonly #retyped = new Counts();

  /** @param found in one document */
  add(found: readonly FieldDifference[]): void {
    const types = new Map<string, Set<string>>();
    const retyped = new Map<string, Set<string>>();
    const [gone, made] = [
      found.flatMap(({ path, before }) => [...leavesOf(before, path)].filter(isNumber)),
      found.flatMap(({ path, after }) => [...leavesOf(after, path)]),
    ];
    for (const leaf of made) {
      note(types, leaf.path, typeName(leaf.value));
      const label = isNumber(leaf) ? retypedFrom(leaf, gone) : undefined;
      if (label !== undefined) note(retyped, leaf.path, label);
    }
    this.#types.add(types);
    this.#retyped.add(retyped);
  }

  /** Paths to which values of two types or more are written, and in how many documents each. */
  get mixed(): TypesByPath {
    return this.#types.list(2);
  }

  /** `double -> int32`, and in how many documents. */
  get retyped(): TypesByPath {
    return this.#retyped.list(1);
  }
}
