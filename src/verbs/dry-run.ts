/** `run --dry-run`: the report of cli.md, nothing written to any database. A copy is kept in `.godwit/reports/`. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { MigrationPhase } from '../domain/expand-contract.js';
import type { SchemaRecord } from '../domain/run.js';
import { readBy } from '../domain/series-step.js';
import type { LoadedMigration } from '../migration/load.js';
import { findStandingRun } from '../mongo/runs.js';
import { readReplicaSetId } from '../mongo/server-facts.js';
import { duplicatesCsv } from '../report/duplicates.js';
import type { Sample } from '../report/samples.js';
import type { StepAnalysis } from '../report/step-analysis.js';
import { type AnalysisOptions, analyse, estimateOf, scaleOf, sum } from './analysis.js';
import { loadDue } from './by-id.js';
import { contractWarnings } from './contract.js';
import { idsOf, requireDocuments } from './document-id.js';
import { notCheckedOf, warningsOf } from './dry-run-notes.js';
import {
  type DryRunReport,
  mergeFields,
  mergeTypes,
  plus,
  referencesOf,
  reversibility,
  together,
  verdictOf,
} from './dry-run-report.js';
import { dependencyNotes } from './order.js';
import { pruneReports, reportsFolder } from './reports.js';
import { requireForeignTargets, requireSteps } from './requirements.js';
import { foresee } from './schema.js';
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
  return join(reportsFolder(config.cwd), `${migration}-${takenAt.replace(/[-:.]/g, '')}`);
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
  await pruneReports(session.config.cwd);
  return whole;
}

export interface DryRunOutcome {
  readonly report: DryRunReport;
  /** The report's samples with values, for a terminal; empty unless they were asked for. */
  readonly clearSamples: readonly Sample[];
}

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
    wouldExpire: sum(steps, ({ expiring }) => expiring.list().reduce((total, one) => total + one.documents, 0)),
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
