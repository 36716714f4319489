/** `rollback`: back from the audit, or what that would do. */
import type { ClientSession } from 'mongodb';
import type { RunDocument, RunState } from '../domain/run.js';
import { OVERWRITTEN } from '../domain/undo.js';
import { requireGround } from '../engine/ground.js';
import { isLeavingGround } from '../engine/lead.js';
import {
  forceLeft,
  type RollbackOutcome,
  rollBack,
  rollBackDry,
  rollBackOnly,
  storedOutcome,
} from '../engine/rollback.js';
import { operationOf } from '../engine/schema-records.js';
import type { RunFacts } from '../engine/with-lease.js';
import { requireTransactions } from '../mongo/connect.js';
import { killSessions, sessionId } from '../mongo/leases.js';
import { translateServerError } from '../mongo/server-errors.js';
import { ShownId } from '../report/shown-id.js';
import { idsOf } from './document-id.js';
import { laterOn, requireNoDependants, requireNoLater } from './order.js';
import { type SchemaView, schemaViews } from './schema.js';
import {
  readyState,
  requireAuditKept,
  requireRun,
  requireSameFile,
  runFacts,
  runSettings,
  type Session,
} from './session.js';
import { loadOrRecall } from './without-file.js';

export interface RollbackOptions {
  readonly dryRun?: boolean | undefined;
  /** What happens to a field that the application changed since: it is kept and listed, or overwritten. */
  readonly onConflict?: 'report' | 'force' | undefined;
  /** One document, by its `_id` as a text; the run stays in its state. */
  readonly only?: string | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A document that keeps fields of the application's. */
export interface ConflictView {
  readonly collection: string;
  readonly id: ShownId;
  readonly fields: readonly string[];
  readonly because: string;
  /** Who has its old key in a unique index, where that is why. */
  readonly otherId?: ShownId;
}

/** What became of a document that did not come back exactly. All others did, or were back already. */
export interface UndoneDocument {
  readonly collection: string;
  readonly id: ShownId;
  readonly result: 'keptFields' | 'overwritten' | 'goneSince' | 'conflict' | 'noBefore';
}

export interface RollbackResult {
  readonly migration: string;
  readonly runId: string;
  readonly state: RunState;
  readonly dryRun: boolean;
  /** Exactly the bytes from before the run. */
  readonly restored: number;
  /** Documents that the run had inserted, removed again. */
  readonly removed: number;
  /** Documents that the run had deleted, inserted again. */
  readonly reinserted: number;
  /** Restored field by field, later edits of other fields kept. */
  readonly keptFields: number;
  /** Restored over what the application had written since, as was asked for. */
  readonly overwritten: number;
  readonly alreadyBack: number;
  readonly goneSince: number;
  /** Documents that came later, have no before image, and were taken back by `down`. */
  readonly byDown: number;
  /** Documents that came later, have no before image, and are left as they are. */
  readonly noBefore: number;
  readonly conflicts: number;
  readonly conflictList: readonly ConflictView[];
  readonly noBeforeList: readonly { readonly collection: string; readonly id: ShownId }[];
  /** The first of those that did not come back exactly, each with what became of it. */
  readonly documents: readonly UndoneDocument[];
  /** False when it can't be told any more what the application inserted while the run went on: not all may be listed. */
  readonly insertsKnown: boolean;
  /** Its schema steps, and how far they are taken back. */
  readonly schema: readonly SchemaView[];
  /** What else is to be known of it. */
  readonly warnings: readonly string[];
  /** True when every document is byte for byte as before the run, and every collection and index. */
  readonly identical: boolean;
  readonly seconds: number;
}

function documentsOf({ conflicts, notes, newcomers }: RollbackOutcome): UndoneDocument[] {
  const view = (
    { collection, id }: { readonly collection: string; readonly id: unknown },
    result: UndoneDocument['result'],
  ): UndoneDocument => ({ collection, id: new ShownId(id), result });
  return [
    ...conflicts.map((one) => view(one, one.because === OVERWRITTEN ? 'overwritten' : 'conflict')),
    ...notes.map((one) => view(one, one.result)),
    ...newcomers.listed.map((one) => view(one, 'noBefore')),
  ];
}

/** What a TTL index has deleted while it was there, nobody knows. */
const madeTimeIndex = ({ schema = [] }: RunDocument): boolean =>
  schema.some((record) => {
    const operation = operationOf(record);
    return (
      record.wasDone === true &&
      operation?.kind === 'createIndex' &&
      operation.options['expireAfterSeconds'] !== undefined
    );
  });

function resultOf(
  outcome: RollbackOutcome,
  { dryRun, elapsedMs, warnings }: Pick<RollbackResult, 'dryRun' | 'warnings'> & { readonly elapsedMs: number },
): RollbackResult {
  const { run, counters, conflicts, newcomers } = outcome;
  const { restored, removed, reinserted, keptFields, overwritten, alreadyBack, goneSince } = counters;
  return {
    migration: run.migration,
    runId: run._id,
    state: run.state,
    dryRun,
    restored,
    removed,
    reinserted,
    keptFields,
    overwritten,
    alreadyBack,
    goneSince,
    byDown: newcomers.restored,
    noBefore: newcomers.count,
    conflicts: counters.conflicts,
    conflictList: conflicts.map(({ id, other, ...conflict }) => ({
      ...conflict,
      id: new ShownId(id),
      ...(other ? { otherId: new ShownId(other.id) } : {}),
    })),
    noBeforeList: newcomers.listed.map(({ collection, id }) => ({ collection, id: new ShownId(id) })),
    documents: documentsOf(outcome),
    insertsKnown: newcomers.isSure,
    schema: schemaViews(run),
    warnings,
    identical:
      newcomers.isSure &&
      !madeTimeIndex(run) &&
      (run.schema ?? []).every(({ left }) => left === null) &&
      keptFields + overwritten + goneSince + counters.conflicts + newcomers.count === 0 &&
      // What down() took back was not there before the run.
      newcomers.restored === 0,
    seconds: elapsedMs / 1_000,
  };
}

async function prepare(
  session: Session,
  id: string,
  options: RollbackOptions,
  onSessions: RunFacts['onSessions'],
): Promise<{ facts: RunFacts; run: RunDocument }> {
  const { loaded } = await loadOrRecall(session, id);
  const run = await requireRun(session, loaded.id);
  requireAuditKept(run);
  requireSameFile(loaded, run);
  const settings = runSettings(session.config, { workers: options.workers });
  return { facts: runFacts(session, loaded, settings, { signal: options.signal, onSessions }), run };
}

/** What is asked for: single documents, or all; done, or only looked at. */
async function carryOut(
  session: Session,
  facts: RunFacts,
  run: RunDocument,
  options: RollbackOptions,
): Promise<RollbackOutcome> {
  const onConflict = options.onConflict ?? 'report';
  const dryRun = options.dryRun ?? false;
  if (options.only !== undefined) {
    const ids = await idsOf(session, facts.loaded, options.only, run._id);
    return rollBackOnly(facts, run, ids, { onConflict, dryRun });
  }
  // Rolled back is rolled back: what the application has written since is its own. A second one says what was done, or
  // overwrites what the first one has left.
  if (run.state === 'rolled-back')
    return onConflict === 'force' ? forceLeft(facts, run, dryRun) : storedOutcome(facts, run);
  if (dryRun) return rollBackDry(facts, run, { onConflict });
  await requireNoDependants(session, run);
  await requireNoLater(session, run);
  if (!isLeavingGround(run)) await requireGround(facts, run);
  return rollBack(facts, run, { onConflict });
}

export interface StartedRollback {
  readonly result: Promise<RollbackResult>;
  abort(): Promise<void>;
}

/** Rolls the migration's current run back; a finished rollback is only looked at again, unless conflicts are forced. */
export function startRollback(session: Session, id: string, options: RollbackOptions = {}): StartedRollback {
  let sessions: readonly ClientSession[] = [];
  const work = async (): Promise<RollbackResult> => {
    const startedAt = performance.now();
    if (!options.dryRun) requireTransactions(session.server);
    const { facts, run } = await prepare(session, id, options, (own) => {
      sessions = own;
    });
    if (!options.dryRun) await readyState(session);
    const outcome = await carryOut(session, facts, run, options);
    const later = await laterOn(session, run);
    return resultOf(outcome, {
      dryRun: options.dryRun ?? false,
      warnings: [
        ...later.map((one) => `${one.migration} has run later on the same collection: roll it back first`),
        ...(madeTimeIndex(run)
          ? ['the run made a TTL index: what it has deleted meanwhile is not known, and not back']
          : []),
      ],
      elapsedMs: performance.now() - startedAt,
    });
  };
  const result = work().catch((error: unknown) => {
    throw translateServerError(error);
  });
  const abort = async (): Promise<void> => {
    await killSessions(session.client, sessions.map(sessionId)).catch(() => undefined);
  };
  return { result, abort };
}
