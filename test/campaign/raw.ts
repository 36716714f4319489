/**
 * Documents as the oracle has them: names with the bytes of their values. Read by bson's own scanner and put together
 * here, so that nothing of the engine is trusted with the bytes that it is judged by.
 */
import { createHash } from 'node:crypto';
import { deserialize, onDemand, serialize } from 'bson';

/** Value: the type's byte, then the value's bytes. */
export interface Field {
  readonly name: string;
  readonly value: Buffer;
}

export type Fields = readonly Field[];

export function fieldsOf(bytes: Uint8Array): Field[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [...onDemand.parseToElements(buffer)].map(([type, nameAt, nameLength, at, length]) => ({
    name: buffer.toString('utf8', nameAt, nameAt + nameLength),
    value: Buffer.concat([Buffer.from([type]), buffer.subarray(at, at + length)]),
  }));
}

export function bytesOf(fields: Fields): Buffer {
  const parts = fields.flatMap(({ name, value }) => [
    value.subarray(0, 1),
    Buffer.from(`${name}\0`),
    value.subarray(1),
  ]);
  const body = Buffer.concat(parts);
  const bytes = Buffer.alloc(body.length + 5);
  bytes.writeInt32LE(bytes.length, 0);
  body.copy(bytes, 4);
  return bytes;
}

/** A JavaScript value's bytes. */
export function bsonValue(value: unknown): Buffer {
  const [field] = fieldsOf(serialize({ v: value }));
  if (!field) throw new Error('wanted a value that BSON has');
  return field.value;
}

export const get = (fields: Fields, name: string): Buffer | undefined =>
  fields.find((field) => field.name === name)?.value;

/** In its place where there is one, else at the end: as `$set` does. */
export function put(fields: Fields, name: string, value: Buffer): Field[] {
  const isThere = fields.some((field) => field.name === name);
  if (!isThere) return [...fields, { name, value }];
  return fields.map((field) => (field.name === name ? { name, value } : field));
}

export const without = (fields: Fields, ...names: readonly string[]): Field[] =>
  fields.filter(({ name }) => !names.includes(name));

/** Equal exactly when two `_id`s are the same bytes. */
export const keyOf = (fields: Fields): string => get(fields, '_id')?.toString('hex') ?? '';

/** The `_id` with its exact type, for statements. */
export function idOf(fields: Fields): unknown {
  const value = get(fields, '_id');
  return value && deserialize(bytesOf([{ name: '_id', value }]), { promoteValues: false })['_id'];
}

/** Whatever the order of fields: the application's `$set` and the run's add theirs in any order. */
export const unordered = (fields: Fields): string =>
  fields
    .map(({ name, value }) => `${name}=${value.toString('hex')}`)
    .sort()
    .join(' ');

export const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
export const hex256 = (text: string): string => createHash('sha256').update(text).digest('hex');
