/**
 * Where values in an author's result came from. An object or array that the author was given is frozen, so that its
 * identity is proof: it keeps its exact value wherever it is put. A number is no object: it takes a type of the
 * document only when the value that had it has left its path, and all that were equal to it had the same one.
 */
import { bsonType, type Doc, isPlainObject, type Typed, toTyped } from '../kernel/values.js';
import { requireCarried } from './carried.js';
import { equalsIn, mayHold, ofType } from './equal-scalars.js';
import { isKept, type Kept } from './migration.js';

/** A document that an author's function was given, frozen, and its bytes. */
export class Given {
  #typed: Doc | undefined;

  constructor(
    readonly plain: Doc,
    readonly bytes: Buffer,
  ) {}

  /** Exactly as it is stored; read when first asked. */
  get typed(): Doc {
    this.#typed ??= toTyped(this.bytes);
    return this.#typed;
  }
}

/** Where an object or array stands in what was given, and its exact value. */
interface Origin {
  readonly given: Given;
  readonly path: readonly string[];
  readonly typed: Typed;
}

const isReferenceLike = (value: object): boolean => ['DBRef', 'Code'].includes(bsonType(value) ?? '');

/** True for what holds values of its own, and is frozen all the way down when it was given. */
const isContainer = (value: unknown): value is object =>
  value !== null &&
  typeof value === 'object' &&
  (Array.isArray(value) || isReferenceLike(value) || (isPlainObject(value) && bsonType(value) === undefined));

function* placesOf(
  plain: unknown,
  typed: Typed,
  path: readonly string[],
): Generator<[object, Typed, readonly string[]]> {
  if (!isContainer(plain)) return;
  yield [plain, typed, path];
  if (isReferenceLike(plain)) return;
  for (const [name, value] of Object.entries(plain))
    yield* placesOf(value, (typed as Doc | undefined)?.[name], [...path, name]);
}

/** The objects and arrays in some documents, by their identity. Read when first asked. */
export class GivenIndex {
  #origins: Map<object, Origin> | undefined;

  constructor(private readonly given: () => Iterable<Given>) {}

  originOf(value: object): Origin | undefined {
    this.#origins ??= this.#read();
    return this.#origins.get(value);
  }

  #read(): Map<object, Origin> {
    const origins = new Map<object, Origin>();
    for (const given of this.given())
      for (const [plain, typed, path] of placesOf(given.plain, given.typed, []))
        origins.set(plain, { given, path, typed });
    return origins;
  }
}

const NOTHING_GIVEN = new GivenIndex(() => []);

function valueAt(root: unknown, path: readonly string[]): unknown {
  let at = root;
  for (const name of path) {
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, name)) return undefined;
    at = (at as Doc)[name];
  }
  return at;
}

/** The exact value at a path; undefined where there is none, or one inside a value of a BSON class. */
function typedAt(root: Doc, path: readonly string[]): Typed {
  let at: unknown = root;
  for (const name of path) {
    if (bsonType(at) !== undefined) return undefined;
    at = valueAt(at, [name]);
  }
  return at;
}

const isPrefix = (path: readonly string[], of: readonly string[]): boolean =>
  path.length <= of.length && path.every((name, at) => name === of[at]);

/** The exact values behind what an author's function returned. */
export class Origins {
  readonly #index: GivenIndex;
  #claimed: readonly Origin[] | undefined;

  /**
   * @param given what the function was given: one document, or those that a merge brings together
   * @param output what it returned
   * @param others what else it could look at: documents of its lookups
   */
  constructor(
    private readonly given: readonly Given[],
    private readonly output: unknown,
    private readonly others: GivenIndex = NOTHING_GIVEN,
  ) {
    this.#index = new GivenIndex(() => given);
  }

  #originOf(value: object): Origin | undefined {
    // Whatever was given is frozen, so that most of what was made is told apart at once.
    if (!isContainer(value) || !Object.isFrozen(value)) return undefined;
    return this.#index.originOf(value) ?? this.others.originOf(value);
  }

  /** The exact value of an object or array that the function was given. @throws NotCarried */
  exactOf(value: object): Typed {
    const origin = this.#originOf(value);
    if (!origin) return undefined;
    requireCarried(origin.given, origin.path[0]);
    return origin.typed;
  }

  /**
   * What `keep()` stands for, null where that is of nothing that was given; its value is undefined where there is none.
   *
   * @throws NotCarried
   */
  kept(kept: Kept): { readonly value: Typed } | null {
    const place = this.#placeOf(kept);
    if (!place) return null;
    requireCarried(place.given, place.path[0]);
    return { value: typedAt(place.given.typed, place.path) };
  }

  #placeOf({ path, from }: Kept): Omit<Origin, 'typed'> | undefined {
    const [own] = this.given;
    if (from === undefined) return own && { given: own, path };
    const origin = this.#originOf(from);
    return origin && { given: origin.given, path: [...origin.path, ...path] };
  }

  /** The exact value of a number or a text that has left its path, where there is no doubt of its type. */
  moved(value: number | string): Typed {
    const equals = this.given.flatMap((given) =>
      mayHold(given.bytes, value) ? equalsIn(given.bytes, value).map((found) => ({ ...found, given })) : [],
    );
    const [first] = equals;
    const isOne = first && equals.every(({ type }) => type === first.type);
    return isOne && equals.some(({ given, path }) => this.#hasLeft(given, path, value))
      ? ofType(first.type, value)
      : undefined;
  }

  /** True where the value is no longer at its path, and nobody has said where it went. */
  #hasLeft(given: Given, path: readonly string[], value: unknown): boolean {
    this.#claimed ??= [...this.#claims(this.output, 0)];
    if (this.#claimed.some((claim) => claim.given === given && isPrefix(claim.path, path))) return false;
    return !Object.is(valueAt(this.output, path), value);
  }

  /** What `keep()` and the identity of objects have moved. */
  *#claims(value: unknown, depth: number): Generator<Origin> {
    // Deeper than the server allows: refused, or a cycle.
    if (value === null || typeof value !== 'object' || depth > 180) return;
    if (isKept(value)) {
      const place = this.#placeOf(value);
      if (place) yield { ...place, typed: undefined };
      return;
    }
    const origin = depth === 0 ? undefined : this.#originOf(value);
    if (origin) yield origin;
    else if (Array.isArray(value) || isPlainObject(value))
      for (const item of Object.values(value)) yield* this.#claims(item, depth + 1);
  }
}
