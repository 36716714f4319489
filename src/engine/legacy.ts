/**
 * Source documents behind their merge: marked, or removed. Only what is merged as it is now: one that was edited since
 * is merged again first, and one whose canonical document is gone stays as it is.
 */
import type { ClientSession } from 'mongodb';
import { changeOf, type Decision } from '../domain/change.js';
import { type LegacyStep, MERGED_INTO } from '../domain/legacy-step.js';
import { type Elements, isMergedAs, type Mapped } from '../domain/mapped.js';
import { type DocumentUnit, decideSeries } from '../domain/series-step.js';
import { type StoredDocument, storedDocument, keyOf as storedKey, typedId } from '../domain/stored-document.js';
import { mergedOf, readRows } from '../mongo/id-map.js';
import { keyOf } from '../mongo/lookups.js';
import { type CanonicalsOf, readByIds } from '../mongo/read-batch.js';
import { decideRemoval } from './given.js';
import { type Author, mapSources } from './map-sources.js';
import type { RunContext } from './run-context.js';

/** What a merge has made of a source document. */
export interface MergedInto {
  readonly canonical: unknown;
  /** As they were last merged; null before that. `planned`: as they are, since a look ahead merges nothing. */
  readonly elements: Elements | null | 'planned';
}

/** Finds, by the keys of source documents, what they are merged into: those whose canonical document is there. */
export type MergedLook = (ids: readonly unknown[], session?: ClientSession) => Promise<ReadonlyMap<string, MergedInto>>;

/** By the id map of the run. */
const mergedBy =
  ({ db, state, run }: Pick<RunContext, 'db' | 'state' | 'run'>, step: LegacyStep): MergedLook =>
  async (ids, session) => {
    const rows = await readRows(state, { run: run._id, step: step.mergeAt }, step.collection, ids, session);
    const into = { db, collection: step.merge.collection, uuid: run.steps[step.mergeAt]?.uuid ?? '' };
    const canonicals = [...rows.values()].map(({ canonical }) => canonical);
    const found = await readByIds(into, canonicals, { idsOnly: true, ...(session ? { session } : {}) });
    const there = new Set(found.map((document) => keyOf(typedId(document))));
    return new Map(
      [...rows]
        .filter(([, { canonical }]) => there.has(keyOf(canonical)))
        .map(([key, row]) => [key, { canonical: row.canonical, elements: mergedOf(row) }]),
    );
  };

/** What a unit's documents are merged into, where they are those of a merge's source. */
export const mergedFor = (
  facts: Pick<RunContext, 'db' | 'state' | 'run'>,
  step: DocumentUnit,
): { readonly merged?: MergedLook } => (step.kind === 'legacy' ? { merged: mergedBy(facts, step) } : {});

/** By the plan of a look ahead. */
export const mergedAsPlanned =
  (canonicalsOf: CanonicalsOf, { collection: from, merge }: LegacyStep): MergedLook =>
  async (ids) => {
    const found = await canonicalsOf({ from, into: merge.collection }, ids);
    return new Map(found.map(({ id, canonical }) => [storedKey(id), { canonical, elements: 'planned' }]));
  };

const isMerged = (now: Mapped | undefined, { elements }: MergedInto): boolean =>
  now?.kind === 'mapped' && (elements === 'planned' || isMergedAs(now.elements, elements));

function marked(document: StoredDocument, into: string, id: unknown): Decision {
  const set = new Map([[MERGED_INTO, { collection: into, id }]]);
  return decideSeries(document, storedDocument(changeOf(document, set, []).after));
}

/** One decision a source document, in their order. */
export async function decideLegacy(
  step: LegacyStep,
  documents: readonly StoredDocument[],
  { merged, author }: { readonly merged: MergedLook; readonly author: Author },
  session?: ClientSession,
): Promise<Decision[]> {
  const found = await merged(documents.map(typedId), session);
  const mapped = mapSources(step.merge, step.source, documents, author);
  return documents.map((document, at) => {
    const known = found.get(document.key);
    if (!known || !isMerged(mapped[at]?.mapped, known)) return { kind: 'unchanged', document };
    return step.fate === 'remove' ? decideRemoval(document) : marked(document, step.merge.collection, known.canonical);
  });
}
