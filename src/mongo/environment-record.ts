/** What a database was said to be, kept in `migrations_evidence`. */
import type { Collection } from 'mongodb';
import type { DatabaseIdentity, EnvironmentRecord } from '../domain/place.js';
import { codeOf } from './server-errors.js';
import { createIfMissing, STATE_FORMAT, type State } from './state.js';

const recordsOf = ({ evidence }: State): Collection<EnvironmentRecord> =>
  evidence as unknown as Collection<EnvironmentRecord>;

const idOf = (database: string): string => `environment:${database}`;

/** Null where there is none; a user who may not read the collection cannot have written one either. */
export async function findEnvironmentRecord(state: State, database: string): Promise<EnvironmentRecord | null> {
  return recordsOf(state)
    .findOne({ _id: idOf(database) })
    .catch((error: unknown) => {
      if (codeOf(error) === 13) return null;
      throw error;
    });
}

/** In place of the one that is there. */
export async function storeEnvironmentRecord(
  state: State,
  identity: DatabaseIdentity,
  said: Pick<EnvironmentRecord, 'environmentKind' | 'environment' | 'by' | 'at'>,
): Promise<void> {
  await createIfMissing(state.db, state.evidence.collectionName);
  const _id = idOf(identity.database);
  const record: EnvironmentRecord = { _id, godwit: STATE_FORMAT, kind: 'environment', ...identity, ...said };
  await recordsOf(state).replaceOne({ _id }, record, { upsert: true });
}
