/** Where in a document's bytes a number or a text stands that JavaScript sees as equal, and of which BSON type. */
import { BSONSymbol, Double, Long } from 'bson';
import { BSON_TYPE, type RawField, scanFields } from '../kernel/raw-bson.js';
import type { Typed } from '../kernel/values.js';

export interface EqualScalar {
  readonly path: readonly string[];
  /** Of BSON_TYPE. */
  readonly type: number;
}

const eightBytes = Buffer.alloc(8);

function holdsNumber(bytes: Buffer, value: number): boolean {
  if (!Number.isInteger(value)) return false;
  eightBytes.writeDoubleLE(value);
  if (bytes.includes(eightBytes)) return true;
  if (Math.abs(value) >= 2 ** 63) return false;
  eightBytes.writeBigInt64LE(BigInt(value));
  return bytes.includes(eightBytes);
}

/** A symbol is stored as a text is, behind another type byte and its name. */
function holdsSymbol(bytes: Buffer, value: string): boolean {
  const text = Buffer.from(`0000${value}\0`);
  text.writeInt32LE(text.length - 4);
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
    const before = bytes.subarray(0, at - 1);
    if (before.subarray(before.lastIndexOf(0) + 1).includes(BSON_TYPE.symbol)) return true;
  }
  return false;
}

/** Whether the bytes may hold the value as another type than the one that it would be written as. A quick look. */
export const mayHold = (bytes: Buffer, value: number | string): boolean =>
  typeof value === 'string' ? holdsSymbol(bytes, value) : holdsNumber(bytes, value);

/** The number that JavaScript sees: undefined of anything else, and of an int64 that no number is equal to. */
function numberAt(bytes: Buffer, { type, valueStart }: RawField): number | undefined {
  if (type === BSON_TYPE.double) return bytes.readDoubleLE(valueStart);
  if (type === BSON_TYPE.int32) return bytes.readInt32LE(valueStart);
  if (type !== BSON_TYPE.int64) return undefined;
  const exact = bytes.readBigInt64LE(valueStart);
  return BigInt(Number(exact)) === exact ? Number(exact) : undefined;
}

const textAt = (bytes: Buffer, { type, valueStart, end }: RawField): string | undefined =>
  type === BSON_TYPE.string || type === BSON_TYPE.symbol ? bytes.toString('utf8', valueStart + 4, end - 1) : undefined;

const isReference = (fields: readonly RawField[]): boolean => fields[0]?.name === '$ref';

/** All of them, in the order of the document. Those inside a reference (DBRef) or code's scope are not looked for. */
export function equalsIn(bytes: Buffer, value: number | string, path: readonly string[] = []): EqualScalar[] {
  const fields = scanFields(bytes);
  if (path.length > 0 && isReference(fields)) return [];
  const found: EqualScalar[] = [];
  const seen = typeof value === 'number' ? numberAt : textAt;
  for (const field of fields) {
    const { name, type, valueStart, end } = field;
    if (type === BSON_TYPE.object || type === BSON_TYPE.array)
      found.push(...equalsIn(bytes.subarray(valueStart, end), value, [...path, name]));
    else if (Object.is(seen(bytes, field), value)) found.push({ path: [...path, name], type });
  }
  return found;
}

/** The value as this type, where a plain one would be written as another; undefined where it would not. */
export function ofType(type: number, value: number | string): Typed {
  if (type === BSON_TYPE.double) return new Double(Number(value));
  if (type === BSON_TYPE.int64) return Long.fromBigInt(BigInt(value));
  return type === BSON_TYPE.symbol ? new BSONSymbol(String(value)) : undefined;
}
