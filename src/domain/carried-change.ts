/** A change from its bytes: what a pipeline, or another thread, has made of a document. */
import { BSON_TYPE, scanFields } from '../kernel/raw-bson.js';
import { toTyped } from '../kernel/values.js';
import type { Change } from './change.js';
import type { StoredDocument } from './stored-document.js';

export interface CarriedChange extends Pick<Change, 'after' | 'hash' | 'patch' | 'unset'> {
  readonly before: StoredDocument;
}

/** New values in the order of the patch, which a plain object would lose for names that look like numbers. */
function valuesIn(patch: Buffer): Map<string, unknown> {
  const values = scanFields(patch).find(({ name, type }) => name === 's' && type === BSON_TYPE.object);
  if (!values) throw new RangeError('wanted the new values in a patch, found none');
  const fields = patch.subarray(values.valueStart, values.end);
  const typed = toTyped(fields);
  return new Map(scanFields(fields).map(({ name }) => [name, typed[name]]));
}

/** Its values are read when they are asked for. */
class Carried implements Change {
  readonly before: StoredDocument;
  readonly after: Buffer;
  readonly hash: Buffer;
  readonly patch: Buffer;
  readonly unset: readonly string[];
  #set: ReadonlyMap<string, unknown> | undefined;

  constructor({ before, after, hash, patch, unset }: CarriedChange) {
    this.before = before;
    this.after = after;
    this.hash = hash;
    this.patch = patch;
    this.unset = unset;
  }

  get set(): ReadonlyMap<string, unknown> {
    this.#set ??= valuesIn(this.patch);
    return this.#set;
  }
}

export const carriedChange = (carried: CarriedChange): Change => new Carried(carried);
