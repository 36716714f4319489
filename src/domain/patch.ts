/**
 * The patch of a change in the audit: `{ s: after values of changed fields, u: names of removed ones }`, as bytes; with
 * `k` where the document was not there before, or is not there after.
 */
import { BSON_TYPE } from '../kernel/raw-bson.js';
import { toBytes } from '../kernel/values.js';

const elementsIn = (document: Buffer): Buffer => document.subarray(4, -1);

const elementsOfRemoval = (unset: readonly string[]): Buffer => elementsIn(toBytes({ u: unset }));

/** The last one: documents of a migration mostly lose the same fields. */
let removal: { readonly unset: readonly string[]; readonly elements: Buffer } = {
  unset: [],
  elements: elementsOfRemoval([]),
};

function removing(unset: readonly string[]): Buffer {
  const isSame = unset.length === removal.unset.length && unset.every((name, at) => name === removal.unset[at]);
  if (!isSame) removal = { unset: [...unset], elements: elementsOfRemoval(unset) };
  return removal.elements;
}

/** Of `s`: its type, its name, and the end of the name. */
const HEAD = Buffer.from([BSON_TYPE.object, 's'.charCodeAt(0), 0]);
/** What a document takes beside its elements: its length and its end. */
const FRAME_BYTES = 5;

/** What a change does to a document as a whole. */
export type ChangeKind = 'update' | 'insert' | 'delete';

/**
 * @param elements changed and added fields as they will be stored, each a whole BSON element, in their order
 * @param unset names of removed fields
 */
export function encodePatch(
  elements: readonly Buffer[],
  unset: readonly string[],
  kind: ChangeKind = 'update',
): Buffer {
  const removed = kind === 'update' ? removing(unset) : elementsIn(toBytes({ u: unset, k: kind }));
  let length = FRAME_BYTES;
  for (const element of elements) length += element.length;
  const patch = Buffer.allocUnsafe(FRAME_BYTES + HEAD.length + length + removed.length);
  patch.writeInt32LE(patch.length, 0);
  patch.set(HEAD, 4);
  let at = patch.writeInt32LE(length, 4 + HEAD.length);
  for (const element of elements) {
    patch.set(element, at);
    at += element.length;
  }
  patch[at] = 0;
  patch.set(removed, at + 1);
  patch[patch.length - 1] = 0;
  return patch;
}
