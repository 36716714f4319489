/**
 * Asks the server itself whether its validator would take documents that are not stored anywhere: `$documents` brings
 * them into an aggregation (MongoDB 5.1 and later), which reads nothing and writes nothing.
 */
import type { Db, Document } from 'mongodb';
import { portions } from '../kernel/portions.js';
import { idKey } from '../kernel/raw-bson.js';
import { toTyped } from '../kernel/values.js';
import { rawDocuments } from './raw-documents.js';
import { codeOf } from './server-errors.js';
import type { Target } from './target.js';

/** Unknown stage, invalid namespace, no right, a document too large to be sent: an older server, or who may not. */
const CANNOT_ASK = new Set([13, 73, 40324, 10334, 17419]);

/** Documents in one question, in bytes: a message holds 16 MiB. */
const MAX_QUESTION_BYTES = 8 * 1024 * 1024;

/** Keys of the documents that the validator refuses; null where the server cannot be asked. */
export async function refusedByValidator(
  db: Db,
  target: Target,
  documents: readonly Buffer[],
): Promise<ReadonlySet<string> | null> {
  const refused = new Set<string>();
  if (!target.validator) return refused;
  try {
    for (const portion of portions(documents, ({ length }) => length, MAX_QUESTION_BYTES))
      for (const key of await ask(db, target.validator, portion)) refused.add(key);
    return refused;
  } catch (error) {
    if (CANNOT_ASK.has(codeOf(error) ?? 0)) return null;
    throw error;
  }
}

async function ask(db: Db, validator: Document, documents: readonly Buffer[]): Promise<string[]> {
  const pipeline: Document[] = [
    { $documents: { $literal: documents.map(toTyped) } },
    { $match: { $nor: [validator] } },
    { $project: { _id: 1 } },
  ];
  const keys: string[] = [];
  for await (const raw of rawDocuments(db, { aggregate: 1, pipeline, cursor: {} })) keys.push(idKey(raw));
  return keys;
}
