/** Asks the server itself whether its validator would take documents that are not stored anywhere. */
import type { Db } from 'mongodb';
import { chosenAmong } from './evaluate.js';
import { codeOf } from './server-errors.js';
import type { Target } from './target.js';

/** Unknown stage, invalid namespace, no right, a document too large to be sent: an older server, or who may not. */
const CANNOT_ASK = new Set([13, 73, 40324, 10334, 17419]);

/** Keys of the documents that the validator refuses; null where the server cannot be asked. */
export async function refusedByValidator(
  db: Db,
  target: Target,
  documents: readonly Buffer[],
): Promise<ReadonlySet<string> | null> {
  if (!target.validator) return new Set();
  try {
    return await chosenAmong(db, { $nor: [target.validator] }, documents);
  } catch (error) {
    if (CANNOT_ASK.has(codeOf(error) ?? 0)) return null;
    throw error;
  }
}
