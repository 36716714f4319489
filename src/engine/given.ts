/** Documents that a script's helper puts in or takes away. */
import type { Document } from 'bson';
import type { ClientSession } from 'mongodb';
import { broken, describe } from '../domain/author-checks.js';
import { isDocumentCarried } from '../domain/carried.js';
import { type Decision, fail, insertionOf, removalOf, tooLarge } from '../domain/change.js';
import { Origins } from '../domain/origins.js';
import { requireName, retype, UnstorableValue } from '../domain/retype.js';
import type { GivenDocuments, GivenStep } from '../domain/script-step.js';
import { absentDocument, type StoredDocument, storedDocument, keyOf as storedKey } from '../domain/stored-document.js';
import { portions } from '../kernel/portions.js';
import { MAX_DOCUMENT_BYTES } from '../kernel/raw-bson.js';
import { isPlainObject, TooLargeForBson, toBytes } from '../kernel/values.js';
import { type ReadFrom, readByIds } from '../mongo/read-batch.js';
import { readFrom, type StepContext } from './run-context.js';
import type { IdsOptions, Source } from './source.js';

const NOT_CARRIED =
  'wanted a document that a rollback could insert again byte for byte, found BSON that JavaScript cannot carry exactly';

/** The decision to take a document away, where it could be put back. */
export const decideRemoval = (document: StoredDocument): Decision =>
  isDocumentCarried(document)
    ? { kind: 'changed', change: removalOf(document) }
    : fail(document, 'GODWIT_NOT_CARRIED', NOT_CARRIED);

function decideInsertion(document: StoredDocument, given: StoredDocument | undefined): Decision {
  if (!given || document.bytes.equals(given.bytes)) return { kind: 'unchanged', document };
  if (given.bytes.length > MAX_DOCUMENT_BYTES) return tooLarge(document, given.bytes.length);
  if (document.isAbsent) return { kind: 'changed', change: insertionOf(given) };
  return fail(document, 'GODWIT_DUPLICATE', 'wanted to insert a document, found another one with its _id');
}

/** One decision a document, in their order. */
export const decideGiven = ({ insert }: GivenStep, documents: readonly StoredDocument[]): Decision[] =>
  documents.map((document) => (insert ? decideInsertion(document, insert.get(document.key)) : decideRemoval(document)));

/** What is at these `_id`s, in their order: documents, or the places for them. */
export async function readPlaces(
  from: ReadFrom,
  ids: readonly unknown[],
  options: { readonly session?: ClientSession } = {},
): Promise<StoredDocument[]> {
  const there = new Map((await readByIds(from, ids, options)).map((document) => [document.key, document]));
  return ids.map((id) => there.get(storedKey(id)) ?? absentDocument(id));
}

/** The places of documents that are to be inserted, and what is there already. */
export function givenSource(
  context: StepContext,
  insert: GivenDocuments,
  ids: readonly unknown[],
  { done, counts }: IdsOptions,
): Source {
  return {
    closesChunk: false,
    counts,
    read: async ({ limit, maxBytes, session }) => {
      const known = new Set(done.map(storedKey));
      const open = ids.filter((id) => !known.has(storedKey(id)));
      const sizeOf = (id: unknown): number => insert.get(storedKey(id))?.bytes.length ?? 0;
      const [first = []] = portions(open.slice(0, limit), sizeOf, maxBytes);
      const documents = await readPlaces(readFrom(context), first, { session });
      return { documents, hasMore: open.length > first.length };
    },
  };
}

/**
 * An author's document as it will be stored.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for one without `_id`, or with a value that BSON cannot hold
 */
export function storedGiven(document: Document): StoredDocument {
  if (!isPlainObject(document) || document['_id'] === undefined)
    throw broken(
      'documents with an _id in ctx.insert(): a script that is run again must meet its own',
      describe(document?.['_id']),
    );
  const { _id, ...fields } = document;
  const entries = Object.entries({ _id, ...fields }).filter(([, value]) => value !== undefined);
  try {
    const origins = new Origins([], document);
    const typed = entries.map(([name, value]): [string, unknown] => {
      requireName(name, []);
      return [name, retype(value, undefined, undefined, origins, [name])];
    });
    return storedDocument(toBytes(new Map(typed)));
  } catch (error) {
    if (error instanceof TooLargeForBson) throw broken('documents of 16 MiB at most in ctx.insert()', 'a larger one');
    if (error instanceof UnstorableValue) throw broken('documents that BSON can hold in ctx.insert()', error.message);
    throw error;
  }
}
