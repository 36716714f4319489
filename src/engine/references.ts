/** What the values of a references step stand for: counted and listed for the dry run and for `verify`. Reads only. */
import type { Db } from 'mongodb';
import { decodeEntries } from '../domain/audit-entry.js';
import { plainOf } from '../domain/change.js';
import { coveringRanges } from '../domain/chunk.js';
import type { TransformStep } from '../domain/migration.js';
import { standings, type Tables, unresolvedIn } from '../domain/references-step.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { valuesAt } from '../kernel/paths.js';
import { auditAround } from '../mongo/audit-entries.js';
import { keyOf, tablesOf } from '../mongo/lookups.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import type { State } from '../mongo/state.js';
import { lookupsFor } from './lookups-for.js';
import { walk } from './walk.js';

/** Documents read at once. */
const PORTION = { limit: 1_000, maxBytes: 16 * 1024 * 1024 };
/** Documents whose image of before the run is looked at, at most: one search of the audit each. */
const MAX_EXAMINED = 1_000;

/** Values, not documents; `documents` are those that hold at least one that names none or several. */
export interface ReferenceCounts {
  /** Keys of one document. */
  readonly keys: number;
  /** `_id`s already. */
  readonly ids: number;
  readonly dangling: number;
  /** Name more than one document. */
  readonly several: number;
  readonly documents: number;
}

export const NO_REFERENCES: ReferenceCounts = { keys: 0, ids: 0, dangling: 0, several: 0, documents: 0 };

export const addReferenceCounts = (a: ReferenceCounts, b: ReferenceCounts): ReferenceCounts => ({
  keys: a.keys + b.keys,
  ids: a.ids + b.ids,
  dangling: a.dangling + b.dangling,
  several: a.several + b.several,
  documents: a.documents + b.documents,
});

export interface ReferenceLook {
  readonly counts: ReferenceCounts;
  /** Documents with values that name none or several. */
  readonly unresolved: readonly StoredDocument[];
}

/** Looks at the documents as they are. Those that JavaScript cannot read are left out: the transform reports them. */
export async function lookAtReferences(
  db: Db,
  step: TransformStep,
  documents: readonly StoredDocument[],
): Promise<ReferenceLook> {
  const { refers } = step;
  if (!refers) return { counts: NO_REFERENCES, unresolved: [] };
  const tables = tablesOf(step.lookup, await lookupsFor(db, step, documents)) as Tables;
  let counts = NO_REFERENCES;
  const unresolved: StoredDocument[] = [];
  for (const document of documents) {
    const kinds = kindsOf(document, step, tables);
    const count = (kind: string): number => kinds.filter((one) => one === kind).length;
    const [dangling, several] = [count('dangling'), count('several')];
    if (dangling + several > 0) unresolved.push(document);
    const own = { keys: count('key'), ids: count('id'), dangling, several, documents: dangling + several > 0 ? 1 : 0 };
    counts = addReferenceCounts(counts, own);
  }
  return { counts, unresolved };
}

function kindsOf(document: StoredDocument, { refers }: TransformStep, tables: Tables): string[] {
  if (!refers) return [];
  try {
    return standings(plainOf(document), refers, tables).map(({ kind }) => kind);
  } catch {
    return [];
  }
}

export interface ReferenceProof {
  readonly counts: ReferenceCounts;
  /** `_id`s of documents with a reference that dangles now, and did not before the run. */
  readonly broken: readonly unknown[];
  /** `_id`s of documents with one that names none or several, as it did before: the first of them. */
  readonly listed: readonly unknown[];
}

export interface ProofFacts {
  readonly db: Db;
  readonly state: State;
  readonly run: string;
  readonly step: TransformStep;
  readonly stepIndex: number;
  readonly from: ReadFrom;
  readonly signal: AbortSignal;
}

/** Looks at every reference of a step: which name nothing, and which of these the run, or what came after it, broke. */
export async function proveReferences(facts: ProofFacts): Promise<ReferenceProof> {
  let counts = NO_REFERENCES;
  const broken: unknown[] = [];
  const listed: unknown[] = [];
  for (const range of coveringRanges([]))
    for await (const documents of walk(facts.from, range, PORTION, facts.step.filter)) {
      if (facts.signal.aborted) throw facts.signal.reason;
      const look = await lookAtReferences(facts.db, facts.step, documents);
      counts = addReferenceCounts(counts, look.counts);
      for (const document of look.unresolved) {
        if (broken.length + listed.length >= MAX_EXAMINED) break;
        ((await wasBroken(facts, document)) ? broken : listed).push(typedId(document));
      }
    }
  return { counts, broken, listed };
}

/** True when a value that names nothing is not one that the document had before the run. */
async function wasBroken({ db, state, run, step, stepIndex }: ProofFacts, document: StoredDocument): Promise<boolean> {
  const { refers } = step;
  const batches = await auditAround(state, run, typedId(document));
  const own = batches.filter(({ head, isIntact }) => isIntact && head.direction === 'up' && head.step === stepIndex);
  const [first] = own.flatMap(({ images }) =>
    decodeEntries(images).filter(({ before }) => before.key === document.key),
  );
  // What the run has not changed is as it was, or the application's.
  if (!first || !refers) return false;
  const had = new Set(valuesAt(plainOf(first.before), refers.path.split('.')).map(keyOf));
  const tables = tablesOf(step.lookup, await lookupsFor(db, step, [document])) as Tables;
  return unresolvedIn(plainOf(document), refers, tables).some((value) => !had.has(keyOf(value)));
}
