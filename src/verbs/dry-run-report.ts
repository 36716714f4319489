/** The report of a dry run: its shape (docs: cli.md), and how the findings of its steps are put together. */

import type { Dangling } from '../domain/migration.js';
import type { NumberTypes, TypesByPath } from '../domain/number-types.js';
import { downsOf } from '../domain/series-step.js';
import { NO_REFERENCES, type ReferenceCounts, referencesIn } from '../engine/references.js';
import type { Collision } from '../report/collisions.js';
import type { FailureGroup } from '../report/failure-groups.js';
import type { FieldCounts } from '../report/fields.js';
import type { MergeReport } from '../report/merge-report.js';
import type { Sample } from '../report/samples.js';
import type { ShownId } from '../report/shown-id.js';
import type { Listed, StepAnalysis } from '../report/step-analysis.js';
import type { Estimate } from './analysis.js';
import { isRefused, type SchemaForecast } from './schema.js';

export interface DryRunReport {
  readonly migration: string;
  readonly checksum: string;
  readonly database: string;
  readonly server: { readonly setName: string | null; readonly version: string; readonly replicaSetId: string | null };
  readonly collections: readonly { readonly name: string; readonly uuid: string }[];
  readonly takenAt: string;
  readonly godwit: string;
  /** Null when every document was read. */
  readonly sample: number | null;
  /** Changes after which the look ended; null: none were set. */
  readonly limit: number | null;
  /** True when one document only was looked at. */
  readonly isOnly: boolean;
  readonly scanned: number;
  readonly wouldChange: number;
  readonly wouldInsert: number;
  readonly wouldDelete: number;
  readonly unchanged: number;
  readonly skipped: number;
  readonly wouldFail: number;
  readonly failures: readonly FailureGroup[];
  readonly fields: Readonly<Record<string, FieldCounts>>;
  /** Paths to which values of two types or more would be written: documents by type. */
  readonly mixedTypes: TypesByPath;
  /** Numbers that would get another type than they have, by path: documents by `double -> int32`. */
  readonly retyped: TypesByPath;
  /** Values of removed fields found nowhere afterwards, by path, but for those that `drops` names. */
  readonly disappearing: Readonly<Record<string, number>>;
  readonly samples: readonly Sample[];
  /** Null: not checked, since no document went through a step that could be applied again. */
  readonly idempotent: boolean | null;
  /** Null: not checked, since no document went through. */
  readonly deterministic: boolean | null;
  /** Fields that differ on the second application. */
  readonly impureFields: readonly string[];
  /** `audit` always; `audit and down` when the migration's own inverse was checked too. */
  readonly reversible: 'audit' | 'audit and down' | 'audit, but down() does not invert up()';
  readonly bytesDelta: number;
  readonly uniqueCollisions: readonly Collision[];
  readonly uniqueCollisionCount: number;
  /** Unique indexes in which collisions were looked for, and those in which they could not be (see `notChecked`). */
  readonly uniqueIndexes: { readonly checked: number; readonly notChecked: number };
  readonly validationFailures: readonly Listed[];
  readonly validationFailureCount: number;
  /** Documents that a TTL index would delete at once, since their key becomes a date that has passed. */
  readonly wouldExpire: number;
  /** What could not be checked, and why. */
  readonly notChecked: readonly string[];
  readonly warnings: readonly string[];
  readonly references: readonly ReferencesReport[];
  readonly merges: readonly MergeReport[];
  /** Its schema steps, in their order. */
  readonly schema: readonly SchemaForecast[];
  readonly estimate: Estimate;
  readonly seconds: number;
  /** SHA-256 of the report without this field. */
  readonly hash: string;
  /** Files that hold this report. */
  readonly files: readonly string[];
}

/** One table of several; what several have under a name is added up. */
export function together<T>(tables: readonly Readonly<Record<string, T>>[], add: (a: T, b: T) => T): Record<string, T> {
  const all = new Map<string, T>();
  for (const [name, value] of tables.flatMap((table) => Object.entries(table))) {
    const other = all.get(name);
    all.set(name, other === undefined ? value : add(other, value));
  }
  return Object.fromEntries(all);
}

export const plus = (a: number, b: number): number => a + b;

/** What each step has found by path; of several steps with the collection before it. */
function byPath<T>(
  steps: readonly StepAnalysis[],
  of: (step: StepAnalysis) => Readonly<Record<string, T>>,
): Readonly<Record<string, T>>[] {
  if (steps.length === 1) return steps.map(of);
  return steps.map((analysis) =>
    Object.fromEntries(Object.entries(of(analysis)).map(([path, one]) => [`${analysis.step.collection}.${path}`, one])),
  );
}

export const mergeTypes = (steps: readonly StepAnalysis[], of: (types: NumberTypes) => TypesByPath): TypesByPath =>
  together(
    byPath(steps, ({ types }) => of(types)),
    (a, b) => together([a, b], plus),
  );

export function mergeFields(steps: readonly StepAnalysis[]): Record<string, FieldCounts> {
  const tables = byPath(steps, ({ fields }) => fields.toJSON());
  return together(tables, (a, b) => ({
    set: a.set + b.set,
    unset: a.unset + b.unset,
    typeChange: a.typeChange + b.typeChange,
    types: together([a.types, b.types], plus),
    added: a.added && b.added,
  }));
}

/** Of what was compared: nothing says nothing. */
export const verdictOf = (differing: number, compared: number): boolean | null =>
  differing > 0 ? false : compared > 0 ? true : null;

export function reversibility(steps: readonly StepAnalysis[]): DryRunReport['reversible'] {
  if (steps.every(({ step }) => !downsOf(step))) return 'audit';
  return steps.some(({ notInverse }) => notInverse > 0) ? 'audit, but down() does not invert up()' : 'audit and down';
}

/** What the values of one references step stand for; `first` are documents with values that name none or several. */
export interface ReferencesReport extends ReferenceCounts {
  readonly collection: string;
  readonly path: string;
  readonly to: string;
  /** Null: through a merge of these. */
  readonly by: string | null;
  readonly from: Readonly<Record<string, string>> | null;
  /** What happens to values that name none. */
  readonly whenDangling: Dangling;
  readonly first: readonly ShownId[];
}

export const referencesOf = (steps: readonly StepAnalysis[]): ReferencesReport[] =>
  steps.flatMap(({ step, references }) =>
    referencesIn(step).flatMap((part) => {
      const { counts, first } = references.get(part) ?? { counts: NO_REFERENCES, first: [] };
      if (!part.refers) return [];
      const { dangling: whenDangling, ...refers } = part.refers;
      return [{ collection: part.collection, ...refers, whenDangling, ...counts, first }];
    }),
  );

/** True when a run would go through as it is: nothing fails, collides, or is impure. */
export const isClean = (report: DryRunReport): boolean =>
  report.wouldFail === 0 &&
  report.idempotent !== false &&
  report.deterministic !== false &&
  report.uniqueCollisionCount === 0 &&
  report.validationFailureCount === 0 &&
  !report.schema.some(isRefused) &&
  report.reversible !== 'audit, but down() does not invert up()';
