/** The `migrations_audit` collection: one document (or a few parts) per batch. */
import { Binary, type ClientSession, type Document, type Filter } from 'mongodb';
import { type AuditDirection, type AuditDocument, digestOf, type Images, joinImages } from '../domain/audit-entry.js';
import { type Chunk, IDS_CHUNK } from '../domain/chunk.js';
import { STATE_FORMAT, type State } from './state.js';

export interface AuditBatch {
  readonly direction: AuditDirection;
  readonly seq: number;
  readonly round: number;
  readonly n: number;
  /** How its documents are found: first and last, or each. */
  readonly found: Pick<AuditDocument, 'first' | 'last' | 'ids'>;
  readonly digest: string;
  readonly chain: string;
  readonly parts: readonly Images[];
}

/** Inserts the images of one batch, in its transaction. */
export async function insertAudit(
  state: State,
  chunk: Chunk,
  batch: AuditBatch,
  session: ClientSession,
): Promise<void> {
  for (const [part, images] of batch.parts.entries()) {
    await state.audit.insertOne(
      {
        _id: `${chunk._id}/${batch.direction}${batch.round || ''}/${batch.seq}/${part}`,
        godwit: STATE_FORMAT,
        run: chunk.run,
        chunk: chunk._id,
        step: chunk.step,
        direction: batch.direction,
        seq: batch.seq,
        round: batch.round,
        part,
        parts: batch.parts.length,
        n: part === 0 ? batch.n : 0,
        ...(part === 0 ? batch.found : {}),
        digest: batch.digest,
        chain: batch.chain,
        codec: 'zlib',
        before: new Binary(images.before),
        patch: new Binary(images.patch),
        hashes: new Binary(images.hashes),
        untouched: new Binary(images.untouched),
        at: new Date(),
      },
      { session },
    );
  }
}

export type BatchPlace = Pick<AuditDocument, 'run' | 'chunk' | 'direction' | 'round' | 'seq'>;

/** The parts of one batch, in order. */
function readParts(state: State, place: BatchPlace, session?: ClientSession): Promise<AuditDocument[]> {
  const { run, chunk, direction, round, seq } = place;
  return state.audit
    .find({ run, chunk, direction, round, seq }, session ? { session } : {})
    .sort({ part: 1 })
    .toArray();
}

/** One batch, put together; null when it is not all there. */
export async function readBatchAudit(
  state: State,
  place: BatchPlace,
  session?: ClientSession,
): Promise<StoredAuditBatch | null> {
  const parts = await readParts(state, place, session);
  const [head] = parts;
  return head && parts.length === head.parts ? toBatch(head, parts) : null;
}

export interface StoredAuditBatch {
  readonly head: AuditDocument;
  readonly images: Images;
  /** False when the images are not those that were stored with the batch. */
  readonly isIntact: boolean;
}

function toBatch(head: AuditDocument, parts: readonly AuditDocument[]): StoredAuditBatch {
  const images = joinImages(parts);
  return { head, images, isIntact: digestOf(images) === head.digest };
}

/** Batches in the order of their parts, put together again. */
async function* joined(documents: AsyncIterable<AuditDocument>): AsyncGenerator<StoredAuditBatch> {
  let parts: AuditDocument[] = [];
  for await (const document of documents) {
    parts.push(document);
    const [head] = parts;
    if (head && parts.length === head.parts) {
      yield toBatch(head, parts);
      parts = [];
    }
  }
}

/** All batches of a chunk in one direction, oldest first. */
export function auditOfChunk(state: State, chunk: Chunk, direction: AuditDirection): AsyncGenerator<StoredAuditBatch> {
  return joined(state.audit.find({ run: chunk.run, chunk: chunk._id, direction }).sort({ seq: 1, part: 1 }));
}

const headId = ({ _id, seq }: Pick<Chunk, '_id' | 'seq'>): string => `${_id}/up/${seq}/0`;

/** Chunks whose newest batch is not in the audit as their checkpoint has it: lost, or edited. */
export async function withoutHead(
  state: State,
  chunks: readonly Chunk[],
  session?: ClientSession,
): Promise<readonly Chunk[]> {
  const begun = chunks.filter(({ seq }) => seq > 0);
  if (begun.length === 0) return [];
  const heads = await state.audit
    .find({ _id: { $in: begun.map(headId) } }, { projection: { chain: 1 }, ...(session ? { session } : {}) })
    .toArray();
  const chains = new Map(heads.map(({ _id, chain }) => [_id, chain]));
  return begun.filter((chunk) => chains.get(headId(chunk)) !== chunk.chain);
}

/** Batches that may hold this `_id`, in the order in which the document can have met them: to be looked through. */
export async function auditAround(state: State, run: string, id: unknown): Promise<StoredAuditBatch[]> {
  const filter: Document = {
    $or: [
      { run, first: { $lte: id }, last: { $gte: id } },
      { run, ids: { $eq: id } },
    ],
  };
  const heads = await state.audit.find(filter as Filter<AuditDocument>).toArray();
  const order = ({ direction, step, chunk, seq, at }: AuditDocument): number[] => {
    if (direction === 'down') return [1, at.getTime()];
    const n = Number(chunk.split('/').at(-1));
    return [0, step, n === IDS_CHUNK.early ? -1 : n === IDS_CHUNK.late ? 1 : 0, seq];
  };
  heads.sort((a, b) => compareLists(order(a), order(b)));
  return Promise.all(heads.map(async (head) => toBatch(head, await readParts(state, head))));
}

function compareLists(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

/** The least sequence number among the rollbacks of single documents of a chunk; 0 when there are none. */
export async function leastAuditSeq(state: State, chunk: Chunk, session: ClientSession): Promise<number> {
  const [least] = await state.audit
    .find(
      { run: chunk.run, chunk: chunk._id, direction: 'down', round: 0 },
      { session, projection: { seq: 1 }, sort: { seq: 1 }, limit: 1 },
    )
    .toArray();
  return Math.min(0, least?.seq ?? 0);
}

export interface AuditTotals {
  readonly batches: number;
  readonly entries: number;
  readonly bytes: number;
}

/** How much audit a run has, in one direction. */
export async function auditTotals(state: State, run: string, direction: AuditDirection): Promise<AuditTotals> {
  const [totals] = await state.audit
    .aggregate<AuditTotals>([
      { $match: { run, direction } },
      {
        $group: {
          _id: null,
          batches: { $sum: { $cond: [{ $eq: ['$part', 0] }, 1, 0] } },
          entries: { $sum: '$n' },
          bytes: { $sum: { $bsonSize: '$$ROOT' } },
        },
      },
    ])
    .toArray();
  return totals ?? { batches: 0, entries: 0, bytes: 0 };
}
