/**
 * The data statement of a batch: one `updateMany` over a table of its changes, to each document an idempotent update
 * by `_id`. It keeps the order of fields, takes `$`-prefixed, dotted and empty names, and goes into the oplog as a
 * diff. The filter is `$in` with exactly the table's ids, never a range: an id that is not in the table would get the
 * table's last entry.
 */
import { type ClientSession, type Collection, type Document, MongoServerError } from 'mongodb';
import type { JournaledBatch, WrittenBatch } from '../domain/batch.js';
import type { Change } from '../domain/change.js';
import { typedId } from '../domain/stored-document.js';
import { portions } from '../kernel/portions.js';
import { toTyped } from '../kernel/values.js';
import { CountMismatch } from './count-mismatch.js';

/** One document's write: fields set and removed, or the whole document put in place. */
export type Write =
  | {
      readonly kind: 'fields';
      readonly id: unknown;
      readonly bytes: number;
      readonly set: ReadonlyMap<string, unknown>;
      readonly unset: readonly string[];
    }
  | { readonly kind: 'whole'; readonly id: unknown; readonly bytes: number; readonly document: Document }
  | {
      readonly kind: 'ordered';
      readonly id: unknown;
      readonly bytes: number;
      readonly fields: readonly OrderedField[];
    }
  /** Fields in their order: a Map, since an object would put names that look like numbers first. */
  | { readonly kind: 'insert'; readonly id: unknown; readonly bytes: number; readonly document: Map<string, unknown> }
  | { readonly kind: 'delete'; readonly id: unknown; readonly bytes: number };

/** A field at its place: with a new value, or with the one that the document has. */
export interface OrderedField {
  readonly name: string;
  readonly value?: unknown;
  readonly isKept: boolean;
}

/** Thrown in single mode: names the document that the server refuses. */
export class RefusedDocument extends Error {
  constructor(
    readonly index: number,
    cause: unknown,
  ) {
    super('the server refuses a document', { cause });
    this.name = 'RefusedDocument';
  }
}

/** Bytes of changes in one statement: well below the 16 MiB of a command, with room for names and ids. */
const MAX_STATEMENT_BYTES = 6 * 1024 * 1024;

const ROOT = '$$ROOT';

function tableLookup(ids: readonly unknown[], values: readonly unknown[]): Document {
  return { $arrayElemAt: [{ $literal: values }, { $indexOfArray: [{ $literal: ids }, '$_id'] }] };
}

function unsetStage(names: readonly string[]): Document {
  // $unset takes no dotted, empty or $-prefixed names; $setField removes any (MongoDB manual, "$setField", "$$REMOVE").
  return {
    $replaceWith: names.reduce<unknown>(
      (input, field) => ({ $setField: { field: { $literal: field }, input, value: '$$REMOVE' } }),
      ROOT,
    ),
  };
}

const isOrdinary = (name: string): boolean => name !== '' && !name.startsWith('$') && !name.includes('.');

function removing(names: readonly string[]): Document[] {
  if (names.length === 0) return [];
  return names.every(isOrdinary) ? [{ $unset: [...names] }] : [unsetStage(names)];
}

function orderedField({ name, value, isKept }: OrderedField): Document {
  const field = { $literal: name };
  return { k: field, v: isKept ? { $getField: { field, input: ROOT } } : { $literal: value } };
}

/** The pipeline that carries out one group of writes (all of one kind, all removing the same names). */
function pipelineFor(group: readonly Write[]): Document[] {
  const ids = group.map(({ id }) => id);
  const [first] = group;
  if (first?.kind === 'ordered') return [{ $replaceWith: { $arrayToObject: [first.fields.map(orderedField)] } }];
  if (first?.kind === 'whole')
    return [
      {
        $replaceWith: tableLookup(
          ids,
          group.map((write) => (write.kind === 'whole' ? write.document : {})),
        ),
      },
    ];
  const sets = group.map((write) => (write.kind === 'fields' ? write.set : new Map()));
  const setting = sets.every((set) => set.size === 0)
    ? []
    : [{ $replaceWith: { $mergeObjects: [ROOT, tableLookup(ids, sets)] } }];
  return [...removing(first?.kind === 'fields' ? first.unset : []), ...setting];
}

/** Writes with the same key can go into one statement. */
function groupKey(write: Write, at: number): string {
  if (write.kind === 'ordered') return `ordered ${at}`;
  return write.kind === 'fields' ? JSON.stringify(write.unset) : write.kind;
}

/** Writes that can go into one statement, in order of first appearance, each group below the statement's limit. */
function groupWrites(writes: readonly Write[]): Write[][] {
  const groups: Write[][] = [];
  const open = new Map<string, { group: Write[]; bytes: number }>();
  for (const [at, write] of writes.entries()) {
    const key = groupKey(write, at);
    let current = open.get(key);
    if (!current || current.bytes + write.bytes > MAX_STATEMENT_BYTES) {
      current = { group: [], bytes: 0 };
      open.set(key, current);
      groups.push(current.group);
    }
    current.group.push(write);
    current.bytes += write.bytes;
  }
  return groups;
}

export interface WriteOptions {
  readonly session: ClientSession;
  /** One statement a document: slower, but its error names the document. */
  readonly isSingle: boolean;
  readonly bypassDocumentValidation?: boolean;
}

/** What is to be done with exactly these documents. @returns how many it was done to */
interface Statement {
  readonly ids: readonly unknown[];
  done(collection: Collection, options: WriteOptions): Promise<number>;
}

const optionsOf = ({ session, bypassDocumentValidation }: WriteOptions) => ({
  session,
  ...(bypassDocumentValidation ? { bypassDocumentValidation: true } : {}),
});

const updating = (ids: readonly unknown[], stages: readonly Document[]): Statement => ({
  ids,
  done: async (collection, options) =>
    (await collection.updateMany({ _id: { $in: ids } } as Document, [...stages], optionsOf(options))).matchedCount,
});

const deleting = (ids: readonly unknown[]): Statement => ({
  ids,
  done: async (collection, { session }) =>
    (await collection.deleteMany({ _id: { $in: ids } } as Document, { session })).deletedCount,
});

/** The command itself: the driver's own inserts give an `_id` that is null another value. */
const inserting = (ids: readonly unknown[], documents: readonly Map<string, unknown>[]): Statement => ({
  ids,
  done: async ({ db, collectionName }, options) => {
    const { session, ...more } = optionsOf(options);
    const reply = await db.command({ insert: collectionName, documents, ordered: true, ...more }, { session });
    const [refused] = (reply['writeErrors'] ?? []) as Document[];
    if (refused) throw new MongoServerError(refused);
    return Number(reply['n']);
  },
});

async function carryOut(
  collection: Collection,
  statements: readonly Statement[],
  options: WriteOptions,
): Promise<number> {
  let matched = 0;
  for (const [index, { ids, done }] of statements.entries()) {
    try {
      const count = await done(collection, options);
      if (count !== ids.length) throw new CountMismatch(ids.length, count);
      matched += count;
    } catch (error) {
      throw options.isSingle && !(error instanceof CountMismatch) ? new RefusedDocument(index, error) : error;
    }
  }
  return matched;
}

function statementFor(group: readonly Write[]): Statement {
  const ids = group.map(({ id }) => id);
  const [first] = group;
  if (first?.kind === 'delete') return deleting(ids);
  if (first?.kind !== 'insert') return updating(ids, pipelineFor(group));
  return inserting(
    ids,
    group.flatMap((write) => (write.kind === 'insert' ? [write.document] : [])),
  );
}

/**
 * Carries out the writes, in as few statements as possible.
 *
 * @returns how many documents matched: always all of them
 * @throws CountMismatch; RefusedDocument in single mode; the driver's errors otherwise
 */
export function applyWrites(collection: Collection, writes: readonly Write[], options: WriteOptions): Promise<number> {
  const groups = options.isSingle ? writes.map((write) => [write]) : groupWrites(writes);
  return carryOut(collection, groups.map(statementFor), options);
}

/** The write that takes a document away. */
export const removal = ({ before }: Change): Write => ({ kind: 'delete', id: typedId(before), bytes: idBytes(before) });

/** The write that carries a change out. */
export function forwardWrite(change: Change): Write {
  const id = typedId(change.before);
  if (change.kind === 'delete') return removal(change);
  if (change.kind === 'insert')
    return { kind: 'insert', id, bytes: change.after.length, document: new Map([['_id', id], ...change.set]) };
  return {
    kind: 'fields',
    id,
    bytes: change.patch.length,
    set: change.set,
    unset: change.unset,
  };
}

/** The write that puts a document together in this order, with the changed fields from here and the others from there. */
export function orderedWrite(change: Change, order: readonly string[]): Write {
  const fields = order.map((name): OrderedField => {
    return change.set.has(name) ? { name, value: change.set.get(name), isKept: false } : { name, isKept: true };
  });
  return { kind: 'ordered', id: typedId(change.before), bytes: change.patch.length, fields };
}

/** The write that puts the exact bytes of `before` back. */
export function wholeWrite(before: { readonly bytes: Buffer }, id: unknown): Write {
  return { kind: 'whole', id, bytes: before.bytes.length, document: toTyped(before.bytes) };
}

/** Writes a journaled batch; all of it or an error. */
export async function writeBatch(
  collection: Collection,
  batch: JournaledBatch,
  options: WriteOptions,
): Promise<WrittenBatch> {
  return { matched: await applyWrites(collection, batch.changes.map(forwardWrite), options) };
}

/** Rough size of an `_id` in a statement, in bytes. */
const idBytes = ({ key }: { readonly key: string }): number => key.length / 2 + 16;

/** Carries a pipeline of the author's out on the documents that a journaled batch changes; all of it or an error. */
export async function writeByPipeline(
  collection: Collection,
  { changes }: JournaledBatch,
  stages: readonly Document[],
  options: WriteOptions,
): Promise<WrittenBatch> {
  const groups = options.isSingle
    ? changes.map((change) => [change])
    : [...portions(changes, ({ before }) => idBytes(before), MAX_STATEMENT_BYTES)];
  const statements = groups.map((group) =>
    updating(
      group.map(({ before }) => typedId(before)),
      stages,
    ),
  );
  return { matched: await carryOut(collection, statements, options) };
}
