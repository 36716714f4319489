/**
 * The audit document of a batch: before images, patch and hashes of every document that it changed, in one commit
 * with the data. Images lie one after the other (BSON is self-delimiting), deflated: exact for all that the server
 * can hold, whatever the nesting. The hashes are SHA-256 of each after image, in the same order.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflate, inflateSync } from 'node:zlib';
import type { Binary } from 'bson';
import { idKey, splitDocuments } from '../kernel/raw-bson.js';
import { type Doc, toTyped } from '../kernel/values.js';
import type { Change } from './change.js';
import type { ChangeKind } from './patch.js';
import { idDocument, type StoredDocument, storedDocument } from './stored-document.js';

/** Which way the documents went in that batch. */
export type AuditDirection = 'up' | 'down';

export interface AuditDocument {
  readonly _id: string;
  readonly godwit: number;
  readonly run: string;
  readonly chunk: string;
  readonly step: number;
  readonly direction: AuditDirection;
  readonly seq: number;
  /** 0 forwards; 1 for the first rollback of the run, 2 for the next. */
  readonly round: number;
  /** Images of one batch may need several documents (16 MiB each): `part` counts from 0. */
  readonly part: number;
  readonly parts: number;
  /** Documents that the batch changed; 0 in all parts but the first. */
  readonly n: number;
  /** Least and greatest `_id` of the changed documents, where the server's plain order holds all others between. */
  readonly first?: unknown;
  readonly last?: unknown;
  /** Otherwise (single documents, a collection with a collation) each of them. */
  readonly ids?: readonly unknown[];
  /** SHA-256 of the batch's images, in hex: tells an edited one. */
  readonly digest: string;
  /** SHA-256 over the chain of the batch before and this digest, in hex: tells a missing or swapped one. */
  readonly chain: string;
  readonly codec: 'zlib';
  readonly before: Binary;
  readonly patch: Binary;
  readonly hashes: Binary;
  /** `_id`s that the batch read and left as they were, deflated. */
  readonly untouched: Binary;
  readonly at: Date;
}

/** One document's entry, decoded. */
export interface AuditEntry {
  readonly kind: ChangeKind;
  /** Of a document that was inserted: nothing but its `_id`. */
  readonly before: StoredDocument;
  /** After values of changed and added fields, typed. */
  readonly set: Doc;
  /** Names of removed fields. */
  readonly unset: readonly string[];
  /** SHA-256 of the after image. */
  readonly hash: Buffer;
}

const HASH_BYTES = 32;

/** zlib level 1: 2.6 µs a document, chosen for bytes, not for speed (docs/decisions/0003). */
const deflated = promisify(deflate);
const pack = (parts: readonly Buffer[]): Promise<Buffer> => deflated(Buffer.concat(parts), { level: 1 });

const bytesOf = (binary: Binary): Buffer =>
  Buffer.from(binary.buffer.buffer, binary.buffer.byteOffset, binary.position);

const IMAGE_FIELDS = ['before', 'patch', 'hashes', 'untouched'] as const;

/** The four payloads of a batch. */
export type Images = Readonly<Record<(typeof IMAGE_FIELDS)[number], Buffer>>;

/** Digest of a batch's images, in hex. Lengths are part of it, so that nothing can move from one payload to the next. */
export function digestOf(images: Images): string {
  const hash = createHash('sha256');
  for (const field of IMAGE_FIELDS) hash.update(`${field}:${images[field].length}:`).update(images[field]);
  return hash.digest('hex');
}

/** The chain after a batch; it begins with the empty text. */
export const chainAfter = (previous: string, digest: string): string =>
  createHash('sha256').update(`${previous}${digest}`).digest('hex');

const NO_BYTES = Buffer.alloc(0);

/** On threads of their own: the process goes on meanwhile. */
export async function encodeImages(changes: readonly Change[], untouched: readonly StoredDocument[]): Promise<Images> {
  const [before, patch, ids] = await Promise.all([
    pack(changes.map((change) => change.before.bytes)),
    pack(changes.map((change) => change.patch)),
    encodeIds(untouched),
  ]);
  return { before, patch, hashes: Buffer.concat(changes.map(({ hash }) => hash)), untouched: ids };
}

/** Images cut into pieces that each fit one document. Almost always one: only incompressible giants need more. */
export function splitImages(images: Images, maxBytes: number): Images[] {
  const pieces: Record<keyof Images, Buffer>[] = [];
  let room = 0;
  for (const field of IMAGE_FIELDS) {
    let rest = images[field];
    while (rest.length > 0) {
      let piece = pieces.at(-1);
      if (!piece || room === 0) {
        piece = { before: NO_BYTES, patch: NO_BYTES, hashes: NO_BYTES, untouched: NO_BYTES };
        pieces.push(piece);
        room = maxBytes;
      }
      const taken = rest.subarray(0, room);
      piece[field] = taken;
      rest = rest.subarray(taken.length);
      room -= taken.length;
    }
  }
  return pieces.length > 0 ? pieces : [images];
}

/** The images of one batch from its audit documents, in the order of their parts. */
export function joinImages(parts: readonly AuditDocument[]): Images {
  const join = (field: keyof Images): Buffer => Buffer.concat(parts.map((part) => bytesOf(part[field])));
  return { before: join('before'), patch: join('patch'), hashes: join('hashes'), untouched: join('untouched') };
}

/** `_id` elements of the documents, as one-field documents, deflated. */
const encodeIds = async (documents: readonly StoredDocument[]): Promise<Buffer> =>
  documents.length === 0 ? NO_BYTES : pack(documents.map(idDocument));

/** Keys of the `_id`s that a batch left as they were. */
export function decodeUntouched(images: Images): string[] {
  return images.untouched.length === 0
    ? []
    : splitDocuments(inflateSync(images.untouched)).map((id) => storedDocument(id).key);
}

/** The entries of a batch, in `_id` order. */
export function decodeEntries(images: Images): AuditEntry[] {
  const befores = splitDocuments(inflateSync(images.before));
  const patches = splitDocuments(inflateSync(images.patch));
  if (befores.length !== patches.length || befores.length * HASH_BYTES !== images.hashes.length)
    throw new RangeError('an audit batch whose images, patches and hashes differ in number');
  return befores.map((before, index) => {
    const patch = toTyped(patches[index] ?? NO_BYTES) as { s: Doc; u: string[]; k?: ChangeKind };
    return {
      kind: patch.k ?? 'update',
      before: storedDocument(before),
      set: patch.s,
      unset: patch.u,
      hash: images.hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
    };
  });
}

/** `_id` keys and after hashes only: what verification needs, without reading the patches. */
export function decodeHashes(images: Images): { readonly key: string; readonly hash: Buffer }[] {
  return splitDocuments(inflateSync(images.before)).map((before, index) => ({
    key: idKey(before),
    hash: images.hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
  }));
}
