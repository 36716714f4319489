/** A few changed documents, side by side: shapes and types by default, values only where they were asked for. */
import type { Change } from '../domain/change.js';
import { typedId } from '../domain/stored-document.js';
import { type FieldDifference, typeOf } from './fields.js';
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

const isRedacted = (visibility: Visibility, collection: string, path: string): boolean =>
  visibility.redact.some(
    (hidden) => `${collection}.${path}` === hidden || `${collection}.${path}`.startsWith(`${hidden}.`),
  );

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
      const name = path.join('.');
      const clear = visibility.showValues && !isRedacted(visibility, collection, name);
      return {
        path: name,
        before: { type: typeOf(before), shape: render(before, clear) },
        after: { type: typeOf(after), shape: render(after, clear) },
      };
    }),
    unchangedFields: change.before.fields.filter(({ name }) => !touched.has(name)).length,
  };
}
