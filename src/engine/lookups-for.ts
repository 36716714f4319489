import type { ClientSession, Document } from 'mongodb';
import { plainOf } from '../domain/change.js';
import type { TransformStep } from '../domain/migration.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { type FoundDocuments, type LookIn, readLookups } from '../mongo/lookups.js';

/** What a step finds for these documents; nothing is asked when it looks nothing up. */
export async function lookupsFor(
  place: LookIn,
  step: TransformStep,
  documents: readonly StoredDocument[],
  session?: ClientSession,
): Promise<FoundDocuments> {
  if (Object.keys(step.lookup).length === 0) return {};
  return readLookups(place, step.lookup, documents.map(readable), session);
}

/** A document that JavaScript cannot read looks nothing up; the transform reports it. */
function readable(document: StoredDocument): Document {
  try {
    return plainOf(document);
  } catch {
    return {};
  }
}
