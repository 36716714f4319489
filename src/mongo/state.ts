/** Godwit's own collections: names, indexes, and the check that nobody else's documents live there. */
import { type Collection, type Db, type Document, type Filter, ReadConcern, WriteConcern } from 'mongodb';
import type { AuditDocument } from '../domain/audit-entry.js';
import type { Chunk } from '../domain/chunk.js';
import type { Waiver } from '../domain/evidence.js';
import type { FailureDocument } from '../domain/failure.js';
import type { RunDocument, StateIds } from '../domain/run.js';
import { GodwitError } from '../errors.js';
import type { IdMapRow } from './id-map.js';
import { codeOf } from './server-errors.js';
import { findTarget } from './target.js';
import type { TouchedDocument } from './touched.js';

/** Version of the state's format; a higher one in the database is refused. */
export const STATE_FORMAT = 1;

export interface State {
  readonly db: Db;
  readonly runs: Collection<RunDocument>;
  readonly chunks: Collection<Chunk>;
  readonly audit: Collection<AuditDocument>;
  readonly failures: Collection<FailureDocument>;
  readonly touched: Collection<TouchedDocument>;
  readonly idMap: Collection<IdMapRow>;
  readonly evidence: Collection<Waiver>;
}

/** Everything is read and written with majority: what a failover could take back is not state. */
const CONCERNS = { readConcern: new ReadConcern('majority'), writeConcern: new WriteConcern('majority') };

export function openState(db: Db, prefix: string): State {
  return {
    db,
    runs: db.collection<RunDocument>(prefix, CONCERNS),
    chunks: db.collection<Chunk>(`${prefix}_chunks`, CONCERNS),
    audit: db.collection<AuditDocument>(`${prefix}_audit`, CONCERNS),
    failures: db.collection<FailureDocument>(`${prefix}_failures`, CONCERNS),
    touched: db.collection<TouchedDocument>(`${prefix}_touched`, CONCERNS),
    idMap: db.collection<IdMapRow>(`${prefix}_idmap`, CONCERNS),
    evidence: db.collection<Waiver>(`${prefix}_evidence`, CONCERNS),
  };
}

/**
 * Looks whether the state is Godwit's, and of a format that is known. Reads one document.
 *
 * @throws GodwitError GODWIT_FOREIGN_STATE, GODWIT_NEWER_STATE
 */
export async function checkState(state: State): Promise<void> {
  const runs = state.runs as unknown as Collection<Document>;
  const foreign = await runs.findOne({ godwit: { $not: { $type: 'number' } } }, { projection: { _id: 1 } });
  const name = `${state.db.databaseName}.${state.runs.collectionName}`;
  if (foreign)
    throw new GodwitError(
      'GODWIT_FOREIGN_STATE',
      `wanted Godwit's own state in ${name}, found documents of another tool`,
      {
        next: [
          "choose other names in godwit.config: state: { prefix: 'godwit_migrations' }",
          'or by GODWIT_STATE_PREFIX=godwit_migrations',
        ],
      },
    );
  const newer = await runs.findOne({ godwit: { $gt: STATE_FORMAT } }, { projection: { godwit: 1 } });
  if (newer)
    throw new GodwitError(
      'GODWIT_NEWER_STATE',
      `wanted state of format ${STATE_FORMAT} in ${name}, found format ${String(newer['godwit'])}`,
      {
        next: ['update Godwit: npm install godwit@latest'],
      },
    );
}

/** Chooses a run while its lease has this fence: what is written under a lease is written with this filter. */
export const underLease = (run: string, fence: string, more: Filter<RunDocument> = {}): Filter<RunDocument> =>
  ({ _id: run, 'lease.fence': fence, ...more }) as Filter<RunDocument>;

/** True for a collection that belongs to Godwit itself. */
export const isOwn = (state: State, database: string, name: string): boolean =>
  database === state.db.databaseName &&
  (name === state.runs.collectionName || name.startsWith(`${state.runs.collectionName}_`));

export async function createIfMissing(db: Db, name: string): Promise<void> {
  await db.createCollection(name, { writeConcern: CONCERNS.writeConcern }).catch((error: unknown) => {
    if (codeOf(error) !== 48) throw error; // 48: it exists
  });
}

/**
 * Creates what is missing. Before the first transaction: collections that come into being inside concurrent
 * transactions conflict with each other.
 */
export async function ensureState(state: State): Promise<void> {
  const { db, runs, chunks, audit, failures, touched } = state;
  for (const { collectionName } of [runs, chunks, audit, failures, touched]) await createIfMissing(db, collectionName);
  await runs.createIndex(
    { migration: 1 },
    { name: 'current', unique: true, partialFilterExpression: { current: true } },
  );
  await chunks.createIndex({ run: 1, step: 1, n: 1 }, { name: 'run_step_n' });
  await chunks.createIndex({ run: 1, state: 1, step: 1, n: 1 }, { name: 'open' });
  await audit.createIndex(
    { run: 1, chunk: 1, direction: 1, round: 1, seq: 1, part: 1 },
    { name: 'batch', unique: true },
  );
  await audit.createIndex({ run: 1, first: 1, last: 1 }, { name: 'document' });
  await audit.createIndex(
    { run: 1, ids: 1 },
    { name: 'documents', partialFilterExpression: { ids: { $exists: true } } },
  );
  await failures.createIndex({ run: 1, chunk: 1 }, { name: 'run_chunk' });
  await touched.createIndex({ run: 1, step: 1, through: 1, _id: 1 }, { name: 'open' });
  await touched.createIndex({ run: 1, step: 1 }, { name: 'inserted', partialFilterExpression: { inserted: true } });
}

/** The same for the id map, which only merges have. */
export async function ensureIdMap({ db, idMap }: State): Promise<void> {
  await createIfMissing(db, idMap.collectionName);
  await idMap.createIndex({ run: 1, step: 1, canonical: 1 }, { name: 'canonical' });
  await idMap.createIndex(
    { run: 1, step: 1, canonical: 1 },
    { name: 'leads', partialFilterExpression: { leads: true } },
  );
  await idMap.createIndex({ run: 1, step: 1, keys: 1 }, { name: 'keys' });
  await idMap.createIndex({ from: 1, into: 1, id: 1 }, { name: 'references' });
}

const idOf = async (db: Db, { collectionName }: { readonly collectionName: string }): Promise<string> =>
  (await findTarget(db, collectionName))?.uuid ?? '';

/** UUID of the collection of touched documents as it is now. */
export const touchedId = ({ db, touched }: State): Promise<string> => idOf(db, touched);

/** UUIDs of the state collections as they are now. */
export async function readStateIds({ db, chunks, audit, touched }: State): Promise<StateIds> {
  return { chunks: await idOf(db, chunks), audit: await idOf(db, audit), touched: await idOf(db, touched) };
}
