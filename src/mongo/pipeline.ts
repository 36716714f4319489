/**
 * Evaluates an update pipeline without writing: on stored documents, as the update in the same transaction will find
 * them, or on documents that are given. The server's result is taken as bytes.
 */
import { Binary, type ClientSession, type Collection, type Db, type Document, type Filter } from 'mongodb';
import type { JournaledBatch } from '../domain/batch.js';
import type { Change } from '../domain/change.js';
import { typedId } from '../domain/stored-document.js';
import { portions } from '../kernel/portions.js';
import { idKey } from '../kernel/raw-bson.js';
import { toTyped } from '../kernel/values.js';
import { UNMARK } from './lock-first.js';
import { rawDocuments } from './raw-documents.js';
import type { ReadFrom } from './read-batch.js';
import { pipelineRefusal } from './server-errors.js';
import { CountMismatch, MAX_STATEMENT_BYTES, RefusedDocument, type WriteOptions } from './write-batch.js';

/** How a pipeline is applied. */
export interface PipelineUpdate {
  readonly stages: readonly Document[];
  /** The documents carry the mark of a lock, which no stage must see. */
  readonly isMarked: boolean;
}

const stagesOf = ({ stages, isMarked }: PipelineUpdate): Document[] => [...(isMarked ? [UNMARK] : []), ...stages];

async function collect(db: Db, command: Document, session?: ClientSession): Promise<Buffer[]> {
  const results: Buffer[] = [];
  for await (const result of rawDocuments(db, command, session)) results.push(result);
  return results;
}

/**
 * @param ids of documents that are there, in `_id` order
 * @returns one result for each of them, in their order
 * @throws CountMismatch when some are gone; the server's errors, which name no document
 */
export async function evaluateStored(
  from: ReadFrom,
  update: PipelineUpdate,
  ids: readonly unknown[],
  session?: ClientSession,
): Promise<Buffer[]> {
  const command: Document = {
    aggregate: from.collection,
    pipeline: [{ $match: { _id: { $in: ids } } }, { $sort: { _id: 1 } }, ...stagesOf(update)],
    hint: { _id: 1 },
    cursor: { batchSize: ids.length + 1 },
    collectionUUID: new Binary(Buffer.from(from.uuid, 'hex'), 4),
  };
  const results = await collect(from.db, command, session);
  if (results.length !== ids.length) throw new CountMismatch(ids.length, results.length);
  return results;
}

/** What the server finds wrong with the stages themselves, asked about no document; null when it understands them. */
export async function refusedPipeline(from: ReadFrom, stages: readonly Document[]): Promise<string | null> {
  try {
    await evaluateStored(from, { stages, isMarked: false }, []);
    return null;
  } catch (error) {
    if (pipelineRefusal(error) === null || !(error instanceof Error)) throw error;
    return error.message;
  }
}

/** Documents in one question, in bytes: a message holds 16 MiB. */
const MAX_QUESTION_BYTES = 8 * 1024 * 1024;

/**
 * @param documents of which JavaScript can carry each
 * @returns one result for each of them, in their order
 */
export async function evaluateGiven(
  db: Db,
  stages: readonly Document[],
  documents: readonly Buffer[],
): Promise<Buffer[]> {
  const results: Buffer[] = [];
  for (const portion of portions(documents, ({ length }) => length, MAX_QUESTION_BYTES)) {
    const pipeline = [{ $documents: { $literal: portion.map(toTyped) } }, ...stages];
    results.push(...(await collect(db, { aggregate: 1, pipeline, cursor: { batchSize: portion.length + 1 } })));
  }
  return results;
}

/** Keys of those of the given documents that the filter chooses. */
export async function chosenAmong(
  db: Db,
  filter: Filter<Document>,
  documents: readonly Buffer[],
): Promise<ReadonlySet<string>> {
  const chosen = await evaluateGiven(db, [{ $match: filter }, { $project: { _id: 1 } }], documents);
  return new Set(chosen.map((id) => idKey(id)));
}

/** Rough size of an `_id` in a statement, in bytes. */
const idBytes = ({ before }: Change): number => before.key.length / 2 + 16;

/**
 * Carries the pipeline out on the documents that it changes.
 *
 * @throws CountMismatch; RefusedDocument in single mode; the driver's errors otherwise
 */
export async function updateByPipeline(
  collection: Collection,
  { changes }: JournaledBatch,
  update: PipelineUpdate,
  { session, isSingle }: WriteOptions,
): Promise<number> {
  const groups = isSingle ? changes.map((change) => [change]) : [...portions(changes, idBytes, MAX_STATEMENT_BYTES)];
  let matched = 0;
  for (const [index, group] of groups.entries()) {
    const filter = { _id: { $in: group.map(({ before }) => typedId(before)) } } as Document;
    const result = await collection.updateMany(filter, stagesOf(update), { session }).catch((error: unknown) => {
      throw isSingle ? new RefusedDocument(index, error) : error;
    });
    if (result.matchedCount !== group.length) throw new CountMismatch(group.length, result.matchedCount);
    matched += result.matchedCount;
  }
  return matched;
}
