/** A value as text: its shape, or the value itself. */
import type { BSONRegExp, Code, DBRef } from 'bson';
import { shapeOf } from '../kernel/redact.js';
import { bsonType, isPlainObject, typeName } from '../kernel/values.js';

const MAX_ITEMS = 3;

/** A value as text, masked to its shape or in clear. */
export function render(value: unknown, clear: boolean): string {
  if (value === undefined) return '(absent)';
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(clear ? value : shapeOf(value)).replaceAll('\\\\', '\\');
  if (typeof value === 'boolean') return clear ? String(value) : 'true|false';
  if (value instanceof Date)
    return clear
      ? Number.isNaN(value.getTime())
        ? 'beyond JavaScript'
        : value.toISOString()
      : '9999-99-99T99:99:99.999Z';
  if (Array.isArray(value))
    return renderMany(
      value.map((item) => render(item, clear)),
      '[',
      ']',
      value.length,
    );
  if (isPlainObject(value) && bsonType(value) === undefined) {
    const parts = Object.entries(value).map(([name, item]) => `${name}: ${typeName(item)} ${render(item, clear)}`);
    return renderMany(parts, '{ ', ' }', parts.length);
  }
  return renderScalar(value, clear);
}

/** Options are no value of anybody's. */
function renderRegex(value: unknown, clear: boolean): string {
  const { pattern, options } =
    value instanceof RegExp ? { pattern: value.source, options: value.flags } : (value as BSONRegExp);
  return `/${clear ? pattern : shapeOf(pattern)}/${options}`;
}

function renderMany(parts: readonly string[], open: string, close: string, count: number): string {
  const shown = parts.slice(0, MAX_ITEMS).join(', ');
  return `${open}${shown}${count > MAX_ITEMS ? `, … ${count - MAX_ITEMS} more` : ''}${close}`;
}

/** The `_id` of what is referred to is shown as any other. */
function renderReference({ collection, oid, db }: DBRef, clear: boolean): string {
  const where = db === undefined || db === '' ? collection : `${db}.${collection}`;
  return `DBRef(${JSON.stringify(where)}, ${typeName(oid)} ${render(oid, clear)})`;
}

function renderScalar(value: unknown, clear: boolean): string {
  const type = typeName(value);
  if (type === 'dbRef') return renderReference(value as DBRef, clear);
  if (type === 'regex') return renderRegex(value, clear);
  if (type === 'javascript') return clear ? (value as Code).code : 'code';
  if (type === 'binary') return `${(value as { length(): number }).length?.() ?? 0} bytes`;
  if (type === 'minKey' || type === 'maxKey') return type;
  const text = String(value);
  return clear ? text : shapeOf(text);
}
