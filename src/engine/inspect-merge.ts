/**
 * Looks at every source document of a merge after the fact: has it a canonical document, and is what `map` makes of it
 * what was merged? Reads only. Used at the end of a run to find what was written meanwhile, and by `verify`.
 */
import type { Document, Filter } from 'mongodb';
import { coveringRanges } from '../domain/chunk.js';
import { isMergedAs } from '../domain/mapped.js';
import { noteOf } from '../domain/merge-group.js';
import type { MergeSource } from '../domain/merge-step.js';
import { type StoredDocument, keyOf as storedKey, typedId } from '../domain/stored-document.js';
import { type IdMapRow, mergedOf, type RowsOf, readRows, walkRows } from '../mongo/id-map.js';
import { keyOf } from '../mongo/lookups.js';
import { readByIds } from '../mongo/read-batch.js';
import type { State } from '../mongo/state.js';
import type { Written } from './assign-sources.js';
import { mapSources } from './map-sources.js';
import type { GroupFacts } from './merge-members.js';
import { walk } from './walk.js';

/** Documents read at once. */
const PORTION = { limit: 1_000, maxBytes: 16 * 1024 * 1024 };

export interface MergeInspection extends Omit<GroupFacts, 'rowsOf'> {
  readonly state: State;
  readonly of: RowsOf;
  /** Keys of canonical documents in quarantine: their sources are known not to be merged. */
  readonly quarantined: ReadonlySet<string>;
}

/** What the look found about some source documents. */
export interface InspectedSources {
  readonly checked: number;
  /** Documents that are not merged as they are now. */
  readonly strays: readonly Written[];
}

/** Every document of the sources, then every row whose document is gone. */
export async function* inspectSources(facts: MergeInspection): AsyncGenerator<InspectedSources> {
  for (const source of facts.step.sources) {
    const from = facts.sources.get(source.collection);
    if (!from) continue;
    for (const range of coveringRanges([]))
      for await (const documents of walk(from, range, PORTION, source.filter))
        yield { checked: documents.length, strays: await straysAmong(facts, source, documents) };
  }
  for await (const rows of walkRows(facts.state, facts.of, PORTION.limit))
    yield { checked: 0, strays: await goneAmong(facts, rows) };
}

async function straysAmong(
  facts: MergeInspection,
  source: MergeSource,
  documents: readonly StoredDocument[],
): Promise<Written[]> {
  const rows = await readRows(facts.state, facts.of, source.collection, documents.map(typedId));
  const mapped = mapSources(facts.step, source, documents, facts.author);
  return documents.flatMap((document, at): Written[] => {
    const row = rows.get(document.key);
    if (row && facts.quarantined.has(storedKey(row.canonical))) return [];
    const now = mapped[at]?.mapped;
    if (now?.kind === 'skipped') return [];
    const isMerged = now?.kind === 'mapped' && isMergedAs(now.elements, row && mergedOf(row));
    return isMerged ? [] : [{ from: source.collection, id: typedId(document) }];
  });
}

async function goneAmong(facts: MergeInspection, rows: readonly IdMapRow[]): Promise<Written[]> {
  const gone: Written[] = [];
  for (const [name, from] of facts.sources) {
    const ids = rows.filter((row) => row.from === name && row.merged && !row.removed).map(({ id }) => id);
    const found = await readByIds(from, ids, { idsOnly: true });
    const there = new Set(found.map((document) => keyOf(typedId(document))));
    gone.push(...ids.filter((id) => !there.has(keyOf(id))).map((id) => ({ from: name, id })));
  }
  return gone;
}

/** What the canonical collection lacks of the source documents that were merged into it. */
export interface Lacking {
  /** `_id`s of source documents whose canonical document is gone. */
  readonly orphans: readonly unknown[];
  /** `_id`s of those that theirs does not name. */
  readonly unnoted: readonly unknown[];
}

/** Every row, against its canonical document. */
export async function* inspectCanonicals(facts: MergeInspection): AsyncGenerator<Lacking> {
  for await (const all of walkRows(facts.state, facts.of, PORTION.limit)) {
    const rows = all.filter(({ from, into, merged }) => from !== into && merged);
    const notes = await notesOf(
      facts,
      rows.map(({ canonical }) => canonical),
    );
    const orphans = rows.filter(({ canonical }) => !notes.has(keyOf(canonical)));
    const unnoted = rows.filter(
      ({ from, id, canonical }) => notes.get(keyOf(canonical))?.has(noteOf(from, id)) === false,
    );
    yield { orphans: orphans.map(({ id }) => id), unnoted: unnoted.map(({ id }) => id) };
  }
}

/** What each canonical document says that it was made of; everything, where no provenance is kept. */
async function notesOf(
  { into, step: { provenance } }: MergeInspection,
  ids: readonly unknown[],
): Promise<Map<string, { has(note: string): boolean }>> {
  const projection = provenance === false ? { _id: 1 } : { [provenance]: 1 };
  const filter = { _id: { $in: [...ids] } } as Filter<Document>;
  const found = await into.db.collection(into.collection).find(filter, { projection, promoteValues: false }).toArray();
  return new Map(
    found.map((document) => {
      const value: unknown = provenance === false ? null : document[provenance];
      const notes = Array.isArray(value) ? value : [];
      const known = new Set(notes.map((note: Document) => noteOf(note?.['collection'], note?.['id'])));
      return [keyOf(document['_id']), provenance === false ? { has: () => true } : known];
    }),
  );
}
