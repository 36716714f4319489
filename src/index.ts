/** The public names of Godwit. A test pins this list. */
export {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  DBRef,
  Decimal128,
  Double,
  defineConfig,
  defineMigration,
  Int32,
  Long,
  MaxKey,
  MinKey,
  merge,
  ObjectId,
  pipeline,
  references,
  schema,
  script,
  Timestamp,
  transform,
  UUID,
} from './domain/authoring.js';
export type { MigrationPhase } from './domain/expand-contract.js';
export type {
  ConflictContext,
  ConflictRule,
  DocumentConflict,
  FieldConflict,
  IdentityRule,
  MapContext,
  MergeFrom,
  MergeOptions,
  MergeStep,
  OnConflict,
} from './domain/merge-step.js';
export type {
  Dangling,
  LookupSpec,
  LookupTable,
  Migration,
  MigrationDefinition,
  ReadOnlyDb,
  References,
  Reject,
  Skip,
  Step,
  TransformContext,
  TransformOptions,
  TransformStep,
  VerifyContext,
} from './domain/migration.js';
export type { PipelineOptions, PipelineStep } from './domain/pipeline-step.js';
export type { ReferencesOptions } from './domain/references-step.js';
export type { RunState } from './domain/run.js';
export type { RenameFieldOptions } from './domain/schema-step.js';
export type { ScriptChange, ScriptContext, ScriptOptions, ScriptResult, ScriptStep } from './domain/script-step.js';
export type { UserConfig } from './domain/user-config.js';
export { type ErrorCode, GodwitError, isGodwitError } from './errors.js';
export type { BatchTimes, EventMap } from './events.js';
export { Godwit, type GodwitOptions, godwit, type RunHandle } from './godwit.js';
export type { AmendResult } from './verbs/amend.js';
export type { AuditOptions, AuditResult } from './verbs/audit.js';
export type { WaiveOptions, WaiveResult } from './verbs/contract.js';
export type { ControlOptions, ControlResult, PaceOptions } from './verbs/control.js';
export type { DoctorResult } from './verbs/doctor.js';
export type { DryRunOptions } from './verbs/dry-run.js';
export type { DryRunReport } from './verbs/dry-run-report.js';
export type { PurgedRun, PurgeOptions, PurgeResult } from './verbs/purge.js';
export type { RollbackReadiness } from './verbs/readiness.js';
export type { RollbackOptions, RollbackResult, UndoneDocument } from './verbs/rollback.js';
export type { RunOptions, RunResult } from './verbs/run.js';
export type { RunAllEntry, RunAllOptions, RunAllResult, Share } from './verbs/run-all.js';
export type { MigrationStatus } from './verbs/status.js';
export type { VerifyResult } from './verbs/verify.js';
