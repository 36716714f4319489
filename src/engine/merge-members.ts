/** Canonical documents with what belongs to them: read together, in one snapshot where there is a session. */
import type { ClientSession } from 'mongodb';
import type { ReadBatch } from '../domain/batch.js';
import type { Elements } from '../domain/mapped.js';
import type { Member } from '../domain/merge-group.js';
import type { MergeStep } from '../domain/merge-step.js';
import { absentDocument, type StoredDocument, typedId } from '../domain/stored-document.js';
import { grouped } from '../kernel/grouped.js';
import { keyOf } from '../mongo/lookups.js';
import { type ReadFrom, readByIds } from '../mongo/read-batch.js';
import { type Author, mapSources } from './map-sources.js';

/** What is known of a source document before it is read. */
export interface MemberRow {
  readonly from: string;
  readonly id: unknown;
  readonly canonical: unknown;
  readonly merged: Elements | null;
  /** The run has removed it since. */
  readonly removed?: true;
}

export interface GroupFacts {
  readonly step: MergeStep;
  readonly into: ReadFrom;
  readonly sources: ReadonlyMap<string, ReadFrom>;
  readonly author: Author;
  /** The source documents of canonical ones, in the order in which they are merged. */
  rowsOf(canonicals: readonly unknown[], session?: ClientSession): Promise<readonly MemberRow[]>;
}

/** Canonical documents read at once: their sources may be large. */
const PORTION = 50;

/** By their `_id`s. */
async function readAll(
  from: ReadFrom,
  ids: readonly unknown[],
  session?: ClientSession,
): Promise<Map<string, StoredDocument>> {
  const documents = await readByIds(from, ids, session ? { session } : {});
  return new Map(documents.map((document) => [keyOf(typedId(document)), document]));
}

async function membersOf(
  { step, sources, author }: GroupFacts,
  rows: readonly MemberRow[],
  session?: ClientSession,
): Promise<Map<MemberRow, Member>> {
  const members = new Map<MemberRow, Member>();
  for (const source of step.sources) {
    const own = rows.filter(({ from }) => from === source.collection);
    const from = sources.get(source.collection);
    if (!from || own.length === 0) continue;
    const found = await readAll(
      from,
      own.map(({ id }) => id),
      session,
    );
    const present = own.flatMap((row) => found.get(keyOf(row.id)) ?? []);
    const mapped = new Map(mapSources(step, source, present, author).map((one, at) => [present[at], one.mapped]));
    for (const row of own) {
      const document = found.get(keyOf(row.id)) ?? null;
      const { id, merged, removed } = row;
      // Nobody has deleted it: what was merged stays, and says so.
      if (!document && removed) continue;
      members.set(row, {
        ...{ collection: source.collection, id, document, merged, ...(removed ? { removed } : {}) },
        mapped: document && (mapped.get(document) ?? null),
      });
    }
  }
  return members;
}

const sizeOf = (document: StoredDocument, members: readonly Member[]): number =>
  members.reduce((sum, member) => sum + (member.document?.bytes.length ?? 0), document.bytes.length);

/** Reads groups until `maxBytes` of documents are read: one at least. @returns `hasMore` when some are left */
export async function readGroups(
  facts: GroupFacts,
  canonicals: readonly unknown[],
  { maxBytes, session }: { readonly maxBytes: number; readonly session?: ClientSession },
): Promise<ReadBatch> {
  const documents: StoredDocument[] = [];
  const members = new Map<string, readonly Member[]>();
  let bytes = 0;
  for (let at = 0; at < canonicals.length; at += PORTION) {
    const portion = canonicals.slice(at, at + PORTION);
    const there = await readAll(facts.into, portion, session);
    const rows = await facts.rowsOf(portion, session);
    const found = await membersOf(facts, rows, session);
    const byCanonical = grouped(rows, (row) => keyOf(row.canonical));
    for (const canonical of portion) {
      const key = keyOf(canonical);
      const document = there.get(key) ?? absentDocument(canonical);
      const own = (byCanonical.get(key) ?? []).flatMap((row) => found.get(row) ?? []);
      const size = sizeOf(document, own);
      if (documents.length > 0 && bytes + size > maxBytes) return { documents, members, hasMore: true };
      bytes += size;
      documents.push(document);
      members.set(document.key, own);
    }
  }
  return { documents, members, hasMore: false };
}
