/**
 * What the application does to collections while a run goes on: one change stream on the database. Godwit's own
 * writes are filtered out on the server, by the sessions of their transactions.
 */
import {
  type Binary,
  type ChangeStream,
  type Db,
  type Document,
  MongoServerError,
  type ResumeToken,
  type Timestamp,
} from 'mongodb';
import { codeOf } from './server-errors.js';

export interface ChangeEvent {
  readonly kind: 'inserted' | 'written' | 'deleted' | 'replaced-collection';
  readonly collection: string;
  /** Exact; absent when the collection itself changed. */
  readonly id?: unknown;
  /** Paths that an update has written, as the server names them; absent where all may be others: a replaced document. */
  readonly paths?: readonly string[];
}

export interface Portion {
  readonly events: readonly ChangeEvent[];
  readonly token: ResumeToken;
  /** Everything up to this cluster time has been seen. */
  readonly upTo: bigint;
}

export interface ChangesFrom {
  readonly db: Db;
  readonly collections: readonly string[];
  readonly ownSessions: readonly Binary[];
  /** Where to begin: a stored token, or a cluster time. */
  readonly token: ResumeToken | null;
  readonly since: Timestamp;
}

/** Thrown when the oplog no longer holds what the stream would have to read. */
export class HistoryLost extends Error {}

/** Events in one portion, at most. */
const PORTION = 1_000;
/** How long one portion is gathered, in ms: an application that never rests must not keep it from being stored. */
const PORTION_MS = 100;
/** How long the server waits for something to happen, in ms: a run ends by waiting this long a few times. */
const AWAIT_MS = 50;

const DOCUMENT_OPERATIONS = ['insert', 'update', 'replace', 'delete'];
const COLLECTION_OPERATIONS = ['drop', 'rename', 'dropDatabase', 'invalidate'];

/** Paths that an update has set, removed or cut short, without their values. */
const PATHS = {
  $concatArrays: [
    { $map: { input: { $objectToArray: '$updateDescription.updatedFields' }, in: '$$this.k' } },
    '$updateDescription.removedFields',
    { $ifNull: ['$updateDescription.truncatedArrays.field', []] },
  ],
};

/**
 * Own sessions stand at the top: the server then passes over Godwit's transactions as it reads the oplog, and does not
 * take them apart first, as it does for a condition in one branch only (a tenth of its work for a batch, measured).
 */
function pipelineFor({ collections, ownSessions }: ChangesFrom): Document[] {
  return [
    {
      $match: {
        'lsid.id': { $nin: ownSessions },
        $or: [
          { operationType: { $in: [...DOCUMENT_OPERATIONS, 'drop', 'rename'] }, 'ns.coll': { $in: collections } },
          { operationType: { $in: ['dropDatabase', 'invalidate'] } },
        ],
      },
    },
    // Keys and names only: an event with a whole document may exceed 16 MiB.
    { $project: { _id: 1, operationType: 1, ns: 1, documentKey: 1, paths: PATHS } },
  ];
}

function toEvent(change: Document): ChangeEvent {
  const operation = String(change['operationType']);
  const collection = String((change['ns'] as Document | undefined)?.['coll'] ?? '');
  if (COLLECTION_OPERATIONS.includes(operation)) return { kind: 'replaced-collection', collection };
  const id: unknown = (change['documentKey'] as Document)['_id'];
  const kind = operation === 'insert' ? 'inserted' : operation === 'delete' ? 'deleted' : 'written';
  const paths: unknown = change['paths'];
  return Array.isArray(paths) ? { kind, collection, id, paths: paths.map(String) } : { kind, collection, id };
}

/**
 * The cluster time that a resume token stands for: its key string begins with the type of a timestamp (0x82), then
 * 32 bits of seconds and 32 bits of ordinal. Not documented, but stable since MongoDB 4.2; pinned by
 * test/integration/changes.test.ts.
 */
export function timeOfToken(token: ResumeToken): bigint {
  const data = String((token as Document | undefined)?.['_data'] ?? '');
  return /^82[0-9A-F]{16}/i.test(data) ? BigInt(`0x${data.slice(2, 18)}`) : 0n;
}

/** The cluster time of the last operation that this server knows of. */
export async function clusterTime(db: Db): Promise<Timestamp> {
  const { operationTime } = await db.command({ ping: 1 });
  return operationTime as Timestamp;
}

const LOST_CODES = new Set([286, 280, 136]);

export class Changes {
  #stream: ChangeStream;

  constructor(private readonly from: ChangesFrom) {
    this.#stream = this.#open(from.token);
  }

  #open(token: ResumeToken | null): ChangeStream {
    const { from } = this;
    const start = token ? { resumeAfter: token } : { startAtOperationTime: from.since };
    return from.db.watch(pipelineFor(from), {
      ...start,
      promoteValues: false,
      maxAwaitTimeMS: AWAIT_MS,
      batchSize: PORTION,
    });
  }

  /**
   * What has happened since the last call; waits a moment for something to happen.
   *
   * @throws HistoryLost, or the driver's error when the stream cannot be resumed
   */
  async next(): Promise<Portion> {
    const events: ChangeEvent[] = [];
    const deadline = performance.now() + PORTION_MS;
    try {
      for (let change = await this.#stream.tryNext(); change; change = await this.#stream.tryNext()) {
        events.push(toEvent(change as Document));
        if (events.length >= PORTION || performance.now() > deadline) break;
      }
    } catch (error) {
      const isLost = error instanceof MongoServerError && error.hasErrorLabel('NonResumableChangeStreamError');
      if (isLost || LOST_CODES.has(codeOf(error) ?? 0))
        throw new HistoryLost('the oplog no longer holds the history', { cause: error });
      throw error;
    }
    const token = this.#stream.resumeToken;
    return { events, token, upTo: timeOfToken(token) };
  }

  /**
   * Begins again after an error that may pass, behind what is known to be stored: the driver itself resumes a stream
   * once, and for no longer than it looks for a primary.
   */
  async reopen(token: ResumeToken | null): Promise<void> {
    await this.close();
    this.#stream = this.#open(token);
  }

  async close(): Promise<void> {
    await this.#stream.close().catch(() => undefined);
  }
}
