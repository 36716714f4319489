/** Proves the references of a step after the fact, against the images of before the run. Reads only. */
import type { Db, Document, Filter } from 'mongodb';
import { decodeEntries } from '../domain/audit-entry.js';
import { plainOf } from '../domain/change.js';
import { coveringRanges } from '../domain/chunk.js';
import type { TransformStep } from '../domain/migration.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { valuesAt } from '../kernel/paths.js';
import { auditAround } from '../mongo/audit-entries.js';
import { keyOf } from '../mongo/lookups.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import type { State } from '../mongo/state.js';
import {
  addReferenceCounts,
  lookAtReferences,
  NO_REFERENCES,
  type ReferenceCounts,
  type Unresolved,
} from './references.js';
import { walk } from './walk.js';

/** Documents read at once. */
const PORTION = { limit: 1_000, maxBytes: 16 * 1024 * 1024 };
/** Documents whose image of before the run is looked at, at most: one search of the audit each. */
const MAX_EXAMINED = 1_000;

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
  /** Which documents are looked at; all when left out. */
  readonly filter: Filter<Document> | undefined;
  readonly signal: AbortSignal;
  /** A document of before the run as it came to the step: what the steps before it had made of it. */
  readonly asMet: (before: StoredDocument) => Promise<StoredDocument>;
}

/** Looks at every reference of a step: which name nothing, and which of these the run, or what came after it, broke. */
export async function proveReferences(facts: ProofFacts): Promise<ReferenceProof> {
  let counts = NO_REFERENCES;
  const broken: unknown[] = [];
  const listed: unknown[] = [];
  for (const range of coveringRanges([]))
    for await (const documents of walk(facts.from, range, PORTION, facts.filter)) {
      if (facts.signal.aborted) throw facts.signal.reason;
      const look = await lookAtReferences(facts.from, facts.step, documents);
      counts = addReferenceCounts(counts, look.counts);
      for (const found of look.unresolved) {
        if (broken.length + listed.length >= MAX_EXAMINED) break;
        ((await wasBroken(facts, found)) ? broken : listed).push(typedId(found.document));
      }
    }
  return { counts, broken, listed };
}

/** True when a value that names nothing is not one that the step met, and left as it was. */
async function wasBroken(
  { state, run, step, stepIndex, asMet }: ProofFacts,
  { document, values }: Unresolved,
): Promise<boolean> {
  const batches = await auditAround(state, run, typedId(document));
  const own = batches.filter(({ head, isIntact }) => isIntact && head.direction === 'up' && head.step === stepIndex);
  const [first] = own.flatMap(({ images }) =>
    decodeEntries(images).filter(({ before }) => before.key === document.key),
  );
  // What the run has not changed is as it was, or the application's.
  if (!first || !step.refers) return false;
  const path = step.refers.path.split('.');
  const had = new Set(valuesAt(plainOf(await asMet(first.before)), path).map(keyOf));
  return values.some((value) => !had.has(keyOf(value)));
}
