/** A few changed documents, side by side: shapes and types by default, values only where they were asked for. */
import { type Change, typedId } from '../domain/change.js';
import { shapeOf } from '../kernel/redact.js';
import { bsonType, isPlainObject, toExtendedJson, typeName } from '../kernel/values.js';
import { type FieldDifference, typeOf } from './fields.js';

export interface SampleSide {
  readonly type: string;
  /** The value's shape; the value itself where values were asked for and the field is not redacted. */
  readonly shape: string;
}

export interface Sample {
  readonly collection: string;
  /** Extended JSON, or the shape of an `_id` that is a text or a document. */
  readonly _id: unknown;
  readonly idType: string;
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

const MAX_ITEMS = 3;

/** A value as text, masked to its shape or in clear. */
export function render(value: unknown, clear: boolean): string {
  if (value === undefined) return '(absent)';
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(clear ? value : shapeOf(value)).replaceAll('\\\\', '\\');
  if (typeof value === 'boolean') return clear ? String(value) : 'true|false';
  if (value instanceof Date) return clear ? (Number.isNaN(value.getTime()) ? 'beyond JavaScript' : value.toISOString()) : '9999-99-99T99:99:99.999Z';
  if (Array.isArray(value)) return renderMany(value.map((item) => render(item, clear)), '[', ']', value.length);
  if (isPlainObject(value) && bsonType(value) === undefined) {
    const parts = Object.entries(value).map(([name, item]) => `${name}: ${typeName(item)} ${render(item, clear)}`);
    return renderMany(parts, '{ ', ' }', parts.length);
  }
  return renderScalar(value, clear);
}

function renderMany(parts: readonly string[], open: string, close: string, count: number): string {
  const shown = parts.slice(0, MAX_ITEMS).join(', ');
  return `${open}${shown}${count > MAX_ITEMS ? `, … ${count - MAX_ITEMS} more` : ''}${close}`;
}

function renderScalar(value: unknown, clear: boolean): string {
  const type = typeName(value);
  if (type === 'binary') return `${(value as { length(): number }).length?.() ?? 0} bytes`;
  if (type === 'minKey' || type === 'maxKey') return type;
  const text = String(value);
  return clear ? text : shapeOf(text);
}

/** An `_id` that says nothing of a person: ObjectId, UUID, number. Others are field values. */
export const isPlainId = (id: unknown): boolean => ['objectId', 'int32', 'int64', 'double', 'decimal128', 'binary', 'date'].includes(typeName(id));

/** How an `_id` is shown: in clear when it is no text or document, or when values were asked for. */
export function renderId(id: unknown, clear: boolean): string {
  const type = typeName(id);
  if (type === 'objectId') return `ObjectId("${String(id)}")`;
  if (type === 'binary') return String(id);
  return isPlainId(id) || clear ? render(id, true) : render(id, false);
}

/** For JSON: Extended JSON of an `_id` that may be shown, its shape otherwise. */
export const idForJson = (id: unknown): unknown => (isPlainId(id) ? toExtendedJson(id) : { shape: render(id, false), type: typeName(id) });

const isRedacted = (visibility: Visibility, collection: string, path: string): boolean =>
  visibility.redact.some((hidden) => `${collection}.${path}` === hidden || `${collection}.${path}`.startsWith(`${hidden}.`));

export function sampleOf(collection: string, change: Change, differences: readonly FieldDifference[], visibility: Visibility): Sample {
  const id = typedId(change.before);
  const touched = new Set(differences.map(({ path }) => path[0]));
  return {
    collection,
    _id: visibility.showValues ? toExtendedJson(id) : idForJson(id),
    idType: typeName(id),
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
