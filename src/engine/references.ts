/** What the values of a references step stand for: counted, and listed. Reads only. */
import { plainOf } from '../domain/change.js';
import type { References, TransformStep } from '../domain/migration.js';
import { type Reference, referencesOf, type Tables } from '../domain/references-step.js';
import { partsOf, type Unit } from '../domain/series-step.js';
import { isReferences } from '../domain/step-order.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { type LookIn, tablesOf } from '../mongo/lookups.js';
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

/** A document with values that name none or several. */
export interface Unresolved {
  readonly document: StoredDocument;
  readonly values: readonly unknown[];
}

export interface ReferenceLook {
  readonly counts: ReferenceCounts;
  readonly unresolved: readonly Unresolved[];
}

/** Looks at the documents as they are. Those that JavaScript cannot read are left out: the transform reports them. */
export async function lookAtReferences(
  place: LookIn,
  step: TransformStep,
  documents: readonly StoredDocument[],
): Promise<ReferenceLook> {
  const { refers } = step;
  if (!refers) return { counts: NO_REFERENCES, unresolved: [] };
  const tables = tablesOf(step.lookup, await lookupsFor(place, step, documents)) as Tables;
  let counts = NO_REFERENCES;
  const unresolved: Unresolved[] = [];
  for (const document of documents) {
    const all = readable(document, refers, tables);
    const valuesOf = (kind: Reference['kind']) => all.filter((one) => one.kind === kind).map(({ value }) => value);
    const [dangling, several] = [valuesOf('dangling'), valuesOf('several')];
    const values = [...dangling, ...several];
    if (values.length > 0) unresolved.push({ document, values });
    counts = addReferenceCounts(counts, {
      keys: valuesOf('key').length,
      ids: valuesOf('id').length,
      dangling: dangling.length,
      several: several.length,
      documents: values.length > 0 ? 1 : 0,
    });
  }
  return { counts, unresolved };
}

function readable(document: StoredDocument, refers: References, tables: Tables): Reference[] {
  try {
    return referencesOf(plainOf(document), refers, tables);
  } catch {
    return [];
  }
}

/** The references steps of a unit. */
export const referencesIn = (unit: Unit): TransformStep[] => partsOf(unit).filter(isReferences);
