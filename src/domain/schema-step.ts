/** `schema`: steps that change how documents are laid out, and their collections, without a function of the author's. */
import type { Document, Filter } from 'mongodb';
import { type Doc, isPlainObject } from '../kernel/values.js';
import { broken, requireKnownKeys, requireText } from './author-checks.js';
import { type Reject, reject, type TransformContext, type TransformStep, transform } from './migration.js';
import {
  createCollection,
  createIndex,
  dropCollection,
  dropIndex,
  renameCollection,
  setValidator,
} from './schema-operation.js';

/** What an author gives to `schema.renameField()`. */
export interface RenameFieldOptions {
  readonly collection: string;
  /** A name, or a dotted path through objects. */
  readonly from: string;
  /** The same; objects on the way that are not there are made. */
  readonly to: string;
  readonly filter?: Filter<Document>;
  /** Says that every document is meant. */
  readonly all?: true;
}

type Path = readonly string[];

const KEYS = new Set(['collection', 'from', 'to', 'filter', 'all']);

function pathOf(text: string, what: string): Path {
  requireText(text, what);
  const path = text.split('.');
  if (path.includes('')) throw broken(`names between the dots of ${what}`, `"${text}"`);
  if (path[0] === '_id') throw broken(`another field than "_id" in ${what}`, `"${text}"`);
  return path;
}

const isWithin = (inner: Path, outer: Path): boolean => outer.every((name, at) => inner[at] === name);

/** Thrown inside a step, and rejected with its message. */
class Refused extends Error {}

/** Whether the path leads to a value, of whatever kind. It does not lead through arrays, or through anything but objects. */
function isThere(doc: Doc, path: Path): boolean {
  let value: unknown = doc;
  for (const name of path) {
    if (Array.isArray(value)) throw new Refused(`wanted objects on the way to "${path.join('.')}", found an array`);
    if (!isPlainObject(value) || !Object.hasOwn(value, name)) return false;
    value = value[name];
  }
  return true;
}

function without(doc: Doc, [name = '', ...rest]: Path): Doc {
  const { [name]: value, ...others } = doc;
  if (rest.length === 0) return others;
  return replaced(doc, name, without(value as Doc, rest));
}

/** With another value where it stands, or as the last one. */
const replaced = (doc: Doc, name: string, value: unknown): Doc => ({ ...doc, [name]: value });

function withValue(doc: Doc, [name = '', ...rest]: Path, value: unknown, whole: Path): Doc {
  if (rest.length === 0) return replaced(doc, name, value);
  const inner = Object.hasOwn(doc, name) ? doc[name] : {};
  if (!isPlainObject(inner))
    throw new Refused(`wanted objects on the way to "${whole.join('.')}", found another value`);
  return replaced(doc, name, withValue(inner, rest, value, whole));
}

function move(from: Path, to: Path) {
  return (doc: Doc, { keep }: Pick<TransformContext<Record<string, Document>>, 'keep'>): Doc | Reject => {
    try {
      if (!isThere(doc, from)) return doc;
      if (isThere(doc, to)) return reject(`wanted one of "${from.join('.')}" and "${to.join('.')}", found both`);
      return withValue(without(doc, from), to, keep(from), to);
    } catch (error) {
      if (error instanceof Refused) return reject(error.message);
      throw error;
    }
  };
}

/**
 * A field under another name, or in another place: with its exact value, whatever its type. A document that has both is
 * put aside. Its inverse is the audit, and for documents that came in the new shape the way back by name.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for an unknown key, an empty filter, or paths of which one holds the other
 */
function renameField(options: RenameFieldOptions): TransformStep {
  requireKnownKeys(options, KEYS, 'schema.renameField()');
  const { collection, filter, all } = options;
  requireText(collection, 'schema.renameField().collection');
  const from = pathOf(options.from, 'schema.renameField().from');
  const to = pathOf(options.to, 'schema.renameField().to');
  if (isWithin(from, to) || isWithin(to, from))
    throw broken('two fields of which neither holds the other', `"${options.from}" and "${options.to}"`);
  // Back inside an object, the order of its names would be another one: no inverse byte for byte.
  const isFlat = from.length === 1 && to.length === 1;
  return transform<Doc, Doc>({
    collection,
    ...(filter === undefined ? {} : { filter }),
    ...(all === undefined ? {} : { all }),
    up: move(from, to),
    ...(isFlat ? { down: move(to, from) } : {}),
  });
}

/**
 * Steps that change how documents are laid out, and the collections and indexes that hold them.
 *
 * @example schema.renameField({ collection: 'contacts', from: 'mail', to: 'email' })
 * @example schema.renameField({ collection: 'contacts', from: 'city', to: 'address.city' })
 * @example schema.createIndex({ collection: 'contacts', key: { email: 1 }, options: { unique: true } })
 * @example schema.dropCollection({ name: 'clients', keepAs: 'clients_old' })
 */
export const schema = Object.freeze({
  renameField,
  createCollection,
  renameCollection,
  dropCollection,
  createIndex,
  dropIndex,
  setValidator,
});
