/** A few changed documents, side by side: shapes and types by default, values only where they were asked for. */
import type { Change } from '../domain/change.js';
import {
  type FieldDifference,
  type FieldPath,
  foldedPath,
  pathText,
  plainPath,
  typeOf,
} from '../domain/differences.js';
import { typedId } from '../domain/stored-document.js';
import { overlaps } from '../kernel/paths.js';
import { shapeOf } from '../kernel/redact.js';
import { render } from './render-value.js';
import { ShownId } from './shown-id.js';

export interface SampleSide {
  readonly type: string;
  /** The value's shape; the value itself where values were asked for and the field is not redacted. */
  readonly shape: string;
}

export interface Sample {
  readonly collection: string;
  readonly _id: ShownId;
  readonly fields: readonly { readonly path: string; readonly before: SampleSide; readonly after: SampleSide }[];
  /** Top-level fields that stay as they are: hidden, but counted. */
  readonly unchangedFields: number;
}

/** Which values may be shown. */
export interface Visibility {
  readonly showValues: boolean;
  /** `collection.path` of fields that never are. */
  readonly redact: readonly string[];
}

/** A value that is never shown, that holds one, or that is part of one; items of arrays count as their array. */
const isRedacted = ({ redact }: Visibility, collection: string, path: FieldPath): boolean =>
  redact.some((hidden) => [pathText(path), plainPath(path)].some((name) => overlaps(`${collection}.${name}`, hidden)));

export function sampleOf(
  collection: string,
  change: Change,
  differences: readonly FieldDifference[],
  visibility: Visibility,
): Sample {
  const touched = new Set(differences.map(({ path }) => path[0]));
  return {
    collection,
    _id: new ShownId(typedId(change.before)),
    fields: differences.map(({ path, before, after }) => {
      const clear = visibility.showValues && !isRedacted(visibility, collection, path);
      return {
        path: pathText(path),
        before: { type: typeOf(before), shape: render(before, clear) },
        after: { type: typeOf(after), shape: render(after, clear) },
      };
    }),
    unchangedFields: change.before.fields.filter(({ name }) => !touched.has(name)).length,
  };
}

/** Samples in a report, at most, and kinds of values of one path that are worth one: the types that BSON has, and some. */
const MAX_SAMPLES = 8;
const MAX_KINDS = 24;

/** The type of a value, of a text with its shape, in which runs are one: `Xx@x.x`. */
function kindOf(value: unknown): string {
  const type = typeOf(value);
  return typeof value === 'string' ? `${type} ${shapeOf(value).replace(/(.)\1+/gu, '$1')}` : type;
}

/** Chooses documents to show: one for each type or shape that a changed value has had. */
export class SampleChoice {
  readonly #kinds = new Map<string, Set<string>>();
  #chosen = 0;

  /** True for a document that shows what none before it has shown. */
  take(differences: readonly FieldDifference[]): boolean {
    if (this.#chosen >= MAX_SAMPLES) return false;
    let isNew = false;
    for (const { path, before, after } of differences) {
      const name = foldedPath(path);
      const kinds = this.#kinds.get(name) ?? new Set<string>();
      this.#kinds.set(name, kinds);
      const kind = `${kindOf(before)} -> ${after === undefined ? 'absent' : 'set'}`;
      if (kinds.size >= MAX_KINDS || kinds.has(kind)) continue;
      kinds.add(kind);
      isNew = true;
    }
    if (isNew) this.#chosen += 1;
    return isNew;
  }
}
