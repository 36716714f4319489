/** The patch of a change in the audit: `{ s: after values of changed fields, u: names of removed ones }`, as bytes. */
import { assemble, BSON_TYPE } from '../kernel/raw-bson.js';
import { toBytes } from '../kernel/values.js';

const element = (type: number, name: string, value: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([type]), Buffer.from(`${name}\0`), value]);

const elementsIn = (document: Buffer): Buffer => document.subarray(4, -1);

const NOTHING_REMOVED = elementsIn(toBytes({ u: [] }));

/**
 * @param elements changed and added fields as they will be stored, each a whole BSON element, in their order
 * @param unset names of removed fields
 */
export function encodePatch(elements: readonly Buffer[], unset: readonly string[]): Buffer {
  const removed = unset.length === 0 ? NOTHING_REMOVED : elementsIn(toBytes({ u: unset }));
  return assemble([element(BSON_TYPE.object, 's', assemble(elements)), removed]);
}
