/**
 * Asks the server itself whether its validator would take documents that are not stored anywhere: `$documents` brings
 * them into an aggregation (MongoDB 5.1 and later), which reads nothing and writes nothing.
 */
import type { Db, Document } from 'mongodb';
import { idKey } from '../kernel/raw-bson.js';
import { toTyped } from '../kernel/values.js';
import { codeOf } from './server-errors.js';
import type { Target } from './target.js';

/** Unknown stage, invalid namespace, no right: an older server, or a user who may not. */
const CANNOT_ASK = new Set([13, 73, 40324]);

/** Keys of the documents that the validator refuses; null where the server cannot be asked. */
export async function refusedByValidator(
  db: Db,
  target: Target,
  documents: readonly Buffer[],
): Promise<ReadonlySet<string> | null> {
  if (!target.validator || documents.length === 0) return new Set();
  const pipeline: Document[] = [
    { $documents: { $literal: documents.map(toTyped) } },
    { $match: { $nor: [target.validator] } },
    { $project: { _id: 1 } },
  ];
  try {
    const found = await db.aggregate(pipeline, { raw: true }).toArray();
    return new Set(found.map((raw) => idKey(raw as unknown as Buffer)));
  } catch (error) {
    if (CANNOT_ASK.has(codeOf(error) ?? 0)) return null;
    throw error;
  }
}
