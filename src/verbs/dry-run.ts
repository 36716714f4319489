/** `run --dry-run`: the report of cli.md, nothing written to any database. A copy is kept in `.godwit/reports/`. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { MigrationPhase } from '../domain/expand-contract.js';
import type { Dangling } from '../domain/migration.js';
import type { NumberTypes, TypesByPath } from '../domain/number-types.js';
import type { SchemaRecord } from '../domain/run.js';
import { downsOf, readBy } from '../domain/series-step.js';
import { NO_REFERENCES, type ReferenceCounts, referencesIn } from '../engine/references.js';
import type { LoadedMigration } from '../migration/load.js';
import { findStandingRun } from '../mongo/runs.js';
import { readReplicaSetId } from '../mongo/server-facts.js';
import type { Collision } from '../report/collisions.js';
import { duplicatesCsv } from '../report/duplicates.js';
import type { FailureGroup } from '../report/failure-groups.js';
import type { FieldCounts } from '../report/fields.js';
import type { MergeReport } from '../report/merge-report.js';
import type { Sample } from '../report/samples.js';
import type { ShownId } from '../report/shown-id.js';
import type { Listed, StepAnalysis } from '../report/step-analysis.js';
import { type AnalysisOptions, analyse, type Estimate, estimateOf, scaleOf, sum } from './analysis.js';
import { loadDue } from './by-id.js';
import { contractWarnings } from './contract.js';
import { idsOf, requireDocuments } from './document-id.js';
import { notCheckedOf, warningsOf } from './dry-run-notes.js';
import { dependencyNotes } from './order.js';
import { requireForeignTargets, requireSteps } from './requirements.js';
import { foresee, isRefused, type SchemaForecast } from './schema.js';
import { type Session, VERSION } from './session.js';
import { writeWhole } from './write-file.js';

export interface DryRunOptions extends Omit<AnalysisOptions, 'ids'> {
  /** The `_id` of the only document to look at, as a text. */
  readonly only?: string | undefined;
  /** Of a migration in phases. Default: the first that is not completed. */
  readonly phase?: MigrationPhase | undefined;
  /** Where the report is also written. */
  readonly out?: string | undefined;
}

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
function together<T>(tables: readonly Readonly<Record<string, T>>[], add: (a: T, b: T) => T): Record<string, T> {
  const all = new Map<string, T>();
  for (const [name, value] of tables.flatMap((table) => Object.entries(table))) {
    const other = all.get(name);
    all.set(name, other === undefined ? value : add(other, value));
  }
  return Object.fromEntries(all);
}

const plus = (a: number, b: number): number => a + b;

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

const mergeTypes = (steps: readonly StepAnalysis[], of: (types: NumberTypes) => TypesByPath): TypesByPath =>
  together(
    byPath(steps, ({ types }) => of(types)),
    (a, b) => together([a, b], plus),
  );

function mergeFields(steps: readonly StepAnalysis[]): Record<string, FieldCounts> {
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
const verdictOf = (differing: number, compared: number): boolean | null =>
  differing > 0 ? false : compared > 0 ? true : null;

function reversibility(steps: readonly StepAnalysis[]): DryRunReport['reversible'] {
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

const referencesOf = (steps: readonly StepAnalysis[]): ReferencesReport[] =>
  steps.flatMap(({ step, references }) =>
    referencesIn(step).flatMap((part) => {
      const { counts, first } = references.get(part) ?? { counts: NO_REFERENCES, first: [] };
      if (!part.refers) return [];
      const { dangling: whenDangling, ...refers } = part.refers;
      return [{ collection: part.collection, ...refers, whenDangling, ...counts, first }];
    }),
  );

/** How far the schema steps of its run are, where one counts. */
const recordsOf = async ({ state }: Session, { id }: LoadedMigration): Promise<readonly SchemaRecord[]> =>
  (await findStandingRun(state, id))?.schema ?? [];

/** The duplicates of each merge, to be looked at and edited, beside the report. @returns the files */
async function keepDuplicates(
  session: Session,
  { migration, takenAt }: Pick<DryRunReport, 'migration' | 'takenAt'>,
  steps: readonly StepAnalysis[],
): Promise<string[]> {
  const files: string[] = [];
  for (const { step, duplicates: groups } of steps.filter(({ merge }) => merge)) {
    const base = `${reportBase(session, { migration, takenAt })}-${step.collection}-duplicates`;
    await writeWhole(`${base}.json`, 'the duplicates', [
      `${JSON.stringify({ migration, into: step.collection, takenAt, groups }, null, 2)}\n`,
    ]);
    await writeWhole(`${base}.csv`, 'the duplicates', [duplicatesCsv(groups)]);
    files.push(`${base}.json`, `${base}.csv`);
  }
  return files;
}

function reportBase({ config }: Session, { migration, takenAt }: Pick<DryRunReport, 'migration' | 'takenAt'>): string {
  const stamp = takenAt.replace(/[-:]/g, '').replace(/\..*$/, 'Z');
  return join(config.cwd, '.godwit', 'reports', `${migration}-${stamp}`);
}

/** Keeps the report, masked, under `.godwit/reports/`, and where else it was asked for. */
async function keep(
  session: Session,
  report: Omit<DryRunReport, 'hash' | 'files'>,
  out: string | undefined,
  more: readonly string[],
): Promise<DryRunReport> {
  const body = JSON.stringify(report);
  const hash = createHash('sha256').update(body).digest('hex');
  const files = [`${reportBase(session, report)}.json`, ...(out === undefined ? [] : [out])];
  const whole: DryRunReport = { ...report, hash, files: [...files, ...more] };
  const text = `${JSON.stringify(whole, null, 2)}\n`;
  for (const file of files) await writeWhole(file, 'the report', [text]);
  return whole;
}

export interface DryRunOutcome {
  readonly report: DryRunReport;
  /** The report's samples with values, for a terminal; empty unless they were asked for. */
  readonly clearSamples: readonly Sample[];
}

/** True when a run would go through as it is: nothing fails, collides, or is impure. */
export const isClean = (report: DryRunReport): boolean =>
  report.wouldFail === 0 &&
  report.idempotent !== false &&
  report.deterministic !== false &&
  report.uniqueCollisionCount === 0 &&
  report.validationFailureCount === 0 &&
  !report.schema.some(isRefused) &&
  report.reversible !== 'audit, but down() does not invert up()';

/** Tells the listeners how far the look at the documents is. */
async function progressOf(
  { db, events }: Session,
  { id: migration, units }: LoadedMigration,
  sample: number | undefined,
): Promise<(scanned: number) => void> {
  let total = 0;
  for (const unit of units)
    for (const name of readBy(unit)) total += await db.collection(name).estimatedDocumentCount();
  return (scanned) => events.emit('dry-run:progress', { migration, scanned, total: sample ?? total });
}

/** Looks at everything and writes a report, to files only. */
export async function dryRun(session: Session, id: string, options: DryRunOptions = {}): Promise<DryRunOutcome> {
  const startedAt = performance.now();
  const loaded = await loadDue(session, id, options.phase);
  requireForeignTargets(session, loaded);
  await requireSteps(session, loaded);
  if (options.only !== undefined) requireDocuments(loaded);
  const ids = options.only === undefined ? undefined : await idsOf(session, loaded, options.only);
  const steps = await analyse(session, loaded, { ...options, ids }, await progressOf(session, loaded, options.sample));
  const scanned = sum(steps, (step) => step.scanned);
  const scale = options.sample === undefined ? 1 : await scaleOf(session, loaded, scanned);
  const report: Omit<DryRunReport, 'hash' | 'files'> = {
    migration: loaded.id,
    checksum: loaded.checksum,
    database: session.db.databaseName,
    server: {
      setName: session.server.setName,
      version: session.server.version,
      replicaSetId: await readReplicaSetId(session.client),
    },
    collections: steps.map(({ target }) => ({ name: target.name, uuid: target.uuid })),
    takenAt: new Date(Date.now() - session.server.clockOffsetMs).toISOString(),
    godwit: VERSION,
    sample: options.sample ?? null,
    limit: options.limit ?? null,
    isOnly: options.only !== undefined,
    scanned,
    wouldChange: sum(steps, (step) => step.wouldChange),
    wouldInsert: sum(steps, (step) => step.wouldInsert),
    wouldDelete: sum(steps, (step) => step.wouldDelete),
    unchanged: sum(steps, (step) => step.unchanged),
    skipped: sum(steps, (step) => step.skipped),
    wouldFail: sum(steps, (step) => step.failures.total),
    failures: steps.flatMap((step) => step.failures.list()),
    fields: mergeFields(steps),
    mixedTypes: mergeTypes(steps, ({ mixed }) => mixed),
    retyped: mergeTypes(steps, ({ retyped }) => retyped),
    disappearing: together(
      steps.map((step) => step.disappearances.toJSON()),
      plus,
    ),
    samples: steps.flatMap((step) => step.samples),
    idempotent: verdictOf(
      sum(steps, (step) => step.notIdempotent),
      sum(steps, (step) => step.appliedTwice),
    ),
    deterministic: verdictOf(
      sum(steps, (step) => step.notDeterministic),
      sum(steps, (step) => step.comparedTwice),
    ),
    impureFields: [...new Set(steps.flatMap((step) => [...step.purityFields]))],
    reversible: reversibility(steps),
    bytesDelta: sum(steps, (step) => step.bytesDelta),
    uniqueCollisions: steps.flatMap((step) => step.collisions.found),
    uniqueCollisionCount: sum(steps, (step) => step.collisions.count),
    uniqueIndexes: {
      checked: sum(steps, ({ collisions }) => collisions.checked),
      notChecked: sum(steps, ({ collisions }) => collisions.unchecked.length + collisions.unsure.length),
    },
    validationFailures: steps.flatMap((step) => step.validationFailures),
    validationFailureCount: sum(steps, (step) => step.validationCount),
    notChecked: notCheckedOf(steps),
    warnings: [
      ...(await dependencyNotes(session, loaded)),
      ...(await warningsOf(session, loaded, steps)),
      ...(await contractWarnings(session, loaded)),
    ],
    references: referencesOf(steps),
    merges: steps.flatMap(({ merge }) => merge ?? []),
    schema: await foresee(session, loaded, await recordsOf(session, loaded)),
    estimate: await estimateOf(session, steps, scale),
    seconds: (performance.now() - startedAt) / 1_000,
  };
  const duplicates = await keepDuplicates(session, report, steps);
  return {
    report: await keep(session, report, options.out, duplicates),
    clearSamples: steps.flatMap((step) => step.clearSamples),
  };
}
