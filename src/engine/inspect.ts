/**
 * Looks at every document of a step's collection after the fact: does it still have the bytes that the run gave it,
 * and if not (edited since, inserted since, left unchanged), would the transform change it? Reads only. Used at the
 * end of a run to find what was written meanwhile, and by `verify`.
 */
import type { Db } from 'mongodb';
import { decodeHashes } from '../domain/audit-entry.js';
import type { Decision } from '../domain/change.js';
import { type Chunk, chunkOfRange, chunksOfStep, coveringRanges, type IdRange } from '../domain/chunk.js';
import type { DocumentUnit } from '../domain/series-step.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { sha256 } from '../kernel/raw-bson.js';
import { auditOfChunk } from '../mongo/audit-entries.js';
import { quarantinedKeys } from '../mongo/failures.js';
import { bothFilters, type ReadFrom, readBatch } from '../mongo/read-batch.js';
import type { State } from '../mongo/state.js';
import type { Locate } from './apply-transform.js';
import { evaluate } from './evaluate.js';
import type { MergedLook } from './legacy.js';
import { walk } from './walk.js';

/** Documents read at once. */
const READ_SIZE = 1_000;
const READ_BYTES = 16 * 1024 * 1024;

export interface InspectFacts {
  readonly db: Db;
  readonly state: State;
  readonly run: string;
  readonly step: DocumentUnit;
  readonly from: ReadFrom;
  readonly chunks: readonly Chunk[];
  readonly locate: Locate;
  readonly transformTimeoutMs: number;
  /** Of source documents: what they are merged into. */
  readonly merged?: MergedLook;
  /** Transform every document again, also those that are as the run left them. */
  readonly isFull: boolean;
}

/** What the look found about some documents. */
export interface Inspected {
  readonly checked: number;
  /** Byte for byte as the run left them. */
  readonly identical: number;
  /** Not as the run left them, or never changed by it, and right as they are. */
  readonly right: number;
  /** The transform would change these, or refuses them. */
  readonly strays: readonly Decision[];
}

type Hashes = Map<string, Buffer>;

/** The hash that the run's last change gave a document. */
type HashOf = (key: string) => Buffer | undefined;

async function hashesOf(facts: InspectFacts, chunk: Chunk | undefined): Promise<Hashes> {
  const hashes: Hashes = new Map();
  if (!chunk) return hashes;
  // Hashes that cannot be trusted are not used: those documents are transformed again.
  for await (const { head, images, isIntact } of auditOfChunk(facts.state, chunk, 'up'))
    if (head.n > 0 && isIntact) for (const { key, hash } of decodeHashes(images)) hashes.set(key, hash);
  return hashes;
}

/** Which of the documents the migration's filter chooses, as they are now. */
async function chosen(facts: InspectFacts, documents: readonly StoredDocument[]): Promise<readonly StoredDocument[]> {
  if (!facts.step.filter || documents.length === 0) return documents;
  const filter = bothFilters({ _id: { $in: documents.map(typedId) } }, facts.step.filter);
  const read = await readBatch(facts.from, filter, { limit: documents.length, maxBytes: Number.POSITIVE_INFINITY });
  return read.documents;
}

async function judge(
  facts: InspectFacts,
  documents: readonly StoredDocument[],
  hashOf: HashOf,
  known: Set<string>,
): Promise<Inspected> {
  const open = documents.filter(
    (document) => !known.has(document.key) && (facts.isFull || !hashOf(document.key)?.equals(sha256(document.bytes))),
  );
  const excused = documents.filter((document) => known.has(document.key)).length;
  const candidates = await chosen(facts, open);
  const { step, from, locate, transformTimeoutMs: timeoutMs, merged } = facts;
  const how = { step, from, locate, timeoutMs, ...(merged ? { merged } : {}) };
  const strays = (await evaluate(how, candidates)).filter(({ kind }) => kind === 'changed' || kind === 'failed');
  return {
    checked: documents.length,
    identical: documents.length - open.length - excused,
    right: open.length - strays.length,
    strays,
  };
}

/** Every document of the step's collection, in portions. */
export async function* inspectStep(facts: InspectFacts, stepIndex: number): AsyncGenerator<Inspected> {
  const known = await quarantinedKeys(facts.state, facts.run, stepIndex);
  const { early, ranges: planned, late } = chunksOfStep(facts.chunks, stepIndex);
  const earlier = await hashesOf(facts, early[0]);
  const later = await hashesOf(facts, late[0]);
  for (const range of coveringRanges(planned.flatMap((chunk) => (chunk.range ? [chunk.range] : [])))) {
    const hashes = await hashesOf(facts, chunkOfRange(planned, range));
    yield* inspectRange(facts, range, (key) => later.get(key) ?? hashes.get(key) ?? earlier.get(key), known);
  }
}

async function* inspectRange(
  facts: InspectFacts,
  range: IdRange,
  hashOf: HashOf,
  known: Set<string>,
): AsyncGenerator<Inspected> {
  const portion = { limit: READ_SIZE, maxBytes: READ_BYTES };
  for await (const documents of walk(facts.from, range, portion)) yield await judge(facts, documents, hashOf, known);
}
