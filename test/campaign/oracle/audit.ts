/** The audit as it is stored, read without the engine's help: entries, chains, and what the oplog says of each batch. */
import { inflateSync } from 'node:zlib';
import type { Binary, Db, Document, Timestamp } from 'mongodb';
import { bytesOf, fieldsOf, get, hex256, keyOf, sha256 } from '../raw.js';
import type { Stage } from '../stage.js';

export interface Entry {
  readonly key: string;
  readonly before: Buffer;
  readonly hash: string;
}

export interface Batch {
  readonly id: string;
  readonly run: string;
  readonly step: number;
  readonly chunk: string;
  readonly seq: number;
  readonly entries: readonly Entry[];
  readonly untouched: readonly string[];
  readonly digest: string;
  readonly chain: string;
  /** Recomputed from the images. */
  readonly ownDigest: string;
}

const IMAGES = ['before', 'patch', 'hashes', 'untouched'] as const;

const plainBytes = (binary: Binary): Buffer => Buffer.from(binary.value());

function split(bytes: Buffer): Buffer[] {
  const documents: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += documents.at(-1)?.length ?? 1)
    documents.push(bytes.subarray(at, at + bytes.readInt32LE(at)));
  return documents;
}

const inflated = (bytes: Buffer): Buffer[] => (bytes.length === 0 ? [] : split(inflateSync(bytes)));

function batchOf(parts: readonly Document[]): Batch {
  const [head] = parts as [Document];
  const images = IMAGES.map((name) => Buffer.concat(parts.map((part) => plainBytes(part[name] as Binary))));
  const [before, , hashes, untouched] = images as [Buffer, Buffer, Buffer, Buffer];
  const text = Buffer.concat(
    IMAGES.flatMap((name, at) => [Buffer.from(`${name}:${images[at]?.length}:`), images[at] ?? Buffer.alloc(0)]),
  );
  const befores = head['n'] > 0 ? inflated(before) : [];
  return {
    ...{ id: String(head['_id']), run: head['run'], step: head['step'], chunk: head['chunk'] },
    ...{ seq: head['seq'], digest: head['digest'], chain: head['chain'], ownDigest: sha256(text).toString('hex') },
    entries: befores.map((bytes, at) => ({
      key: keyOf(fieldsOf(bytes)),
      before: bytes,
      hash: hashes.subarray(at * 32, at * 32 + 32).toString('hex'),
    })),
    untouched: inflated(untouched).map((bytes) => keyOf(fieldsOf(bytes))),
  };
}

/** All batches forwards, by chunk and number. */
export async function batchesOf(db: Db): Promise<Batch[]> {
  const documents = await db
    .collection('migrations_audit')
    .find({ direction: 'up' })
    .sort({ run: 1, chunk: 1, seq: 1, part: 1 })
    .toArray();
  const grouped = groupBy(documents, ({ chunk, seq }) => `${chunk}/${seq}`);
  return [...grouped.values()].map(batchOf);
}

function groupBy<T>(items: readonly T[], keyFor: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyFor(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}

/** I18: recomputed hashes equal the stored ones, up to the head in the chunk. */
export async function checkChains(stage: Stage, batches: readonly Batch[]): Promise<void> {
  const chunks = await stage.db.collection('migrations_chunks').find().toArray();
  for (const chunk of chunks) {
    let chain = '';
    for (const batch of batches.filter((one) => one.chunk === String(chunk['_id']))) {
      chain = hex256(`${chain}${batch.ownDigest}`);
      if (batch.digest !== batch.ownDigest || batch.chain !== chain)
        stage.violate('I18', `the chain of ${batch.id} to be ${chain.slice(0, 12)}`, String(batch.chain).slice(0, 12));
    }
    if (chunk['chain'] !== chain) stage.violate('I18', `the head of ${chunk['_id']} to be ${chain}`, chunk['chain']);
  }
}

/** I1, its last part: a chunk's cursor is the last document of its last batch. */
export async function checkCursors(stage: Stage, batches: readonly Batch[]): Promise<void> {
  const chunks = await stage.db.collection('migrations_chunks').find({ kind: 'range' }, { raw: true }).toArray();
  const failures = new Set(await failedKeys(stage.db));
  for (const raw of chunks) {
    const fields = fieldsOf(raw as unknown as Uint8Array);
    const chunk = idText(get(fields, '_id'));
    const last = batches.filter((batch) => batch.chunk === chunk).at(-1);
    const cursor = get(fields, 'cursor');
    if (!last || cursor?.[0] !== 3) continue;
    const at = get(fieldsOf(cursor.subarray(1)), 'id')?.toString('hex') ?? '';
    const known = [...last.entries.map(({ key }) => key), ...last.untouched];
    if (known.length > 0 && !known.includes(at) && !failures.has(at))
      stage.violate('I1', `the cursor of ${chunk} at a document of its last batch ${last.seq}`, at);
  }
}

/** I1: no document is in two batches of the ranges of one step: what was redone was redone under its own number. */
export async function checkMetOnce(stage: Stage, batches: readonly Batch[]): Promise<void> {
  const ranges = await stage.db.collection('migrations_chunks').distinct('_id', { kind: 'range' });
  const ids = new Set(ranges.map(String));
  const met = new Map<string, string>();
  for (const { id, run, step, chunk, entries, untouched } of batches) {
    if (!ids.has(chunk)) continue;
    for (const key of [...entries.map((entry) => entry.key), ...untouched]) {
      const before = met.get(`${run}/${step}/${key}`);
      if (before) return stage.violate('I1', `document ${key} in one batch of the ranges`, `it in ${before} and ${id}`);
      met.set(`${run}/${step}/${key}`, id);
    }
  }
}

const idText = (value: Buffer | undefined): string => value?.subarray(5, -1).toString() ?? '';

export async function failedKeys(db: Db): Promise<string[]> {
  const raw = await db
    .collection('migrations_failures')
    .find({}, { raw: true, projection: { documentId: 1 } })
    .toArray();
  return raw.map((bytes) => get(fieldsOf(bytes as unknown as Uint8Array), 'documentId')?.toString('hex') ?? '');
}

interface OplogBatch {
  readonly session: string;
  readonly chunks: readonly string[];
  readonly audits: readonly string[];
  readonly hasTarget: boolean;
}

async function oplogBatches(stage: Stage, since: Timestamp, target: string): Promise<OplogBatch[]> {
  const { db } = stage;
  const prefix = `${db.databaseName}.`;
  const entries = await db.client
    .db('local')
    .collection('oplog.rs')
    .find({ ts: { $gte: since }, ns: 'admin.$cmd', 'o.applyOps.ns': { $gte: prefix, $lt: `${prefix}\uffff` } })
    .toArray();
  return entries.map((entry) => {
    const operations = entry['o'].applyOps as Document[];
    const of = (name: string): Document[] => operations.filter(({ ns }) => ns === `${prefix}${name}`);
    return {
      session: String(entry['lsid']?.id?.toString('hex')),
      chunks: of('migrations_chunks').map(({ o2 }) => String(o2?._id)),
      audits: of('migrations_audit').map(({ o }) => String(o._id)),
      hasTarget: of(target).length > 0,
    };
  });
}

/** I7, and I1 as the oplog has it: data, audit and checkpoint are one entry; a chunk never goes back to an old runner. */
export async function checkOplog(stage: Stage, since: Timestamp, target: string): Promise<void> {
  const runs = await stage.db.collection('migrations').find().toArray();
  const own = new Set(runs.flatMap(({ ownSessions }) => (ownSessions as Binary[]).map((id) => id.toString('hex'))));
  const batches = (await oplogBatches(stage, since, target)).filter(({ session }) => own.has(session));
  const ended = new Map<string, { current: string; before: Set<string> }>();
  for (const batch of batches) {
    if (batch.hasTarget && batch.audits.length === 0)
      stage.violate('I2', 'documents written together with their audit', `a batch of ${batch.chunks} without one`);
    if (batch.audits.length > 0 && batch.chunks.length === 0)
      stage.violate('I1', 'audit and checkpoint in one transaction', `${batch.audits} without a checkpoint`);
    for (const chunk of batch.chunks) {
      const seen = ended.get(chunk) ?? { current: batch.session, before: new Set<string>() };
      if (seen.before.has(batch.session))
        stage.violate('I7', `batches of ${chunk} in one unbroken row of each runner`, 'one that commits again');
      if (seen.current !== batch.session) seen.before.add(seen.current);
      ended.set(chunk, { current: batch.session, before: seen.before });
    }
  }
}

/** What an entry's hash must be, for a document of these fields. */
export const hashOf = (fields: Parameters<typeof bytesOf>[0]): string => sha256(bytesOf(fields)).toString('hex');
