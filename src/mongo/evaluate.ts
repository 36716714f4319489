/**
 * Asks the server what stages make of documents, without writing: of stored ones, as an update in the same transaction
 * will find them, or of documents that are stored nowhere: `$documents` brings them into an aggregation (MongoDB 5.1 and
 * later), which reads nothing. The results are taken as bytes.
 */
import type { ClientSession, Db, Document, Filter } from 'mongodb';
import { portions } from '../kernel/portions.js';
import { idKey } from '../kernel/raw-bson.js';
import { toBytes, toTyped } from '../kernel/values.js';
import { CountMismatch } from './count-mismatch.js';
import { rawDocuments } from './raw-documents.js';
import { type ReadFrom, uuidOf } from './read-batch.js';
import { pipelineRefusal } from './server-errors.js';

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
  stages: readonly Document[],
  ids: readonly unknown[],
  session?: ClientSession,
): Promise<Buffer[]> {
  const command: Document = {
    aggregate: from.collection,
    pipeline: [{ $match: { _id: { $in: ids } } }, { $sort: { _id: 1 } }, ...stages],
    hint: { _id: 1 },
    cursor: { batchSize: ids.length + 1 },
    collectionUUID: uuidOf(from),
  };
  const results = await collect(from.db, command, session);
  if (results.length !== ids.length) throw new CountMismatch(ids.length, results.length);
  return results;
}

/** What the server finds wrong with what it is asked; null when it understands it. */
async function refusalOf(question: Promise<unknown>): Promise<string | null> {
  try {
    await question;
    return null;
  } catch (error) {
    if (pipelineRefusal(error) === null || !(error instanceof Error)) throw error;
    return error.message;
  }
}

/** What is wrong with the stages themselves, asked about no document; null: nothing. */
export const refusedPipeline = (from: ReadFrom, stages: readonly Document[]): Promise<string | null> =>
  refusalOf(evaluateStored(from, stages, []));

/** What is wrong with a filter over documents that are stored nowhere; null: it can be asked. */
export const refusedFilter = (db: Db, filter: Filter<Document>): Promise<string | null> =>
  refusalOf(chosenAmong(db, filter, [toBytes(new Map([['_id', 1]]))]));

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
