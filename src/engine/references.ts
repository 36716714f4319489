/** What the values of a references step stand for: counted, and listed. Reads only. */
import type { Db } from 'mongodb';
import { plainOf } from '../domain/change.js';
import type { Step, TransformStep } from '../domain/migration.js';
import { standings, type Tables } from '../domain/references-step.js';
import { partsOf, type Unit } from '../domain/series-step.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { tablesOf } from '../mongo/lookups.js';
import type { Met } from './apply-series.js';
import { type Evaluation, series } from './evaluate.js';
import { lookupsFor } from './lookups-for.js';

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

const isReferences = (step: Step): step is TransformStep => step.kind === 'transform' && step.refers !== undefined;

/** The references steps of a unit. */
export const referencesIn = (unit: Unit): TransformStep[] => partsOf(unit).filter(isReferences);

/** Tells of each references step which documents it meets, as the steps before it have made them. */
export async function metReferences(
  how: Evaluation,
  documents: readonly StoredDocument[],
  tell: (step: TransformStep, documents: readonly StoredDocument[]) => Promise<void>,
): Promise<void> {
  const { step } = how;
  if (referencesIn(step).length === 0) return;
  const met: Met = async (part, some) => (isReferences(part) ? tell(part, some) : undefined);
  if (step.kind === 'series') await series(how, step, documents, undefined, met);
  else await met(step, documents);
}

function kindsOf(document: StoredDocument, { refers }: TransformStep, tables: Tables): string[] {
  if (!refers) return [];
  try {
    return standings(plainOf(document), refers, tables).map(({ kind }) => kind);
  } catch {
    return [];
  }
}
