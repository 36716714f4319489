/** `run`: plans or resumes, carries on, and says how it ended. */
import type { ClientSession } from 'mongodb';
import type { MigrationPhase } from '../domain/expand-contract.js';
import type { PhaseTable } from '../domain/phases.js';
import { isSpent, type RunDocument, type RunState } from '../domain/run.js';
import { phaseOf, shown } from '../domain/window.js';
import { requireGround } from '../engine/ground.js';
import { leadIn } from '../engine/lead.js';
import { isUnplanned, type PlanFacts, planRun } from '../engine/plan-run.js';
import { rollbackUnderWay } from '../engine/refusals.js';
import { carryOn, retire } from '../engine/run.js';
import type { RunFacts } from '../engine/with-lease.js';
import { GodwitError } from '../errors.js';
import { type LoadedMigration, locateIn } from '../migration/load.js';
import { requireTransactions } from '../mongo/connect.js';
import { countFailures } from '../mongo/failures.js';
import { killSessions, sessionId } from '../mongo/leases.js';
import { findCurrentRun } from '../mongo/runs.js';
import { translateServerError } from '../mongo/server-errors.js';
import { readReplicaSetId, readServerTime } from '../mongo/server-facts.js';
import { ensureIdMap } from '../mongo/state.js';
import { ShownId } from '../report/shown-id.js';
import { loadById, loadDue } from './by-id.js';
import { requireContract } from './contract.js';
import { idsOf, requireDocuments } from './document-id.js';
import { requireDependencies } from './order.js';
import { requireForeignTargets, requireSteps } from './requirements.js';
import { requireRoom } from './room.js';
import { requireSchema, type SchemaView, schemaViews } from './schema.js';
import {
  gitCommit,
  readyState,
  requireAuditKept,
  requireRun,
  requireSameFile,
  runFacts,
  runSettings,
  type Session,
  type SettingOverrides,
  VERSION,
} from './session.js';

export interface RunOptions extends SettingOverrides {
  /** Changes to make at most; the next run goes on from there. */
  readonly limit?: number | undefined;
  /** One document, by its `_id` as a text. */
  readonly only?: string | undefined;
  /** Keeps catching up with an application that writes the old shape, until stopped. */
  readonly follow?: boolean | undefined;
  /** Of a migration in phases. Default: the first that is not completed. */
  readonly phase?: MigrationPhase | undefined;
  /** Takes the quarantined documents up again first. */
  readonly retry?: boolean | undefined;
  /** Stops at the next batch boundary. */
  readonly signal?: AbortSignal | undefined;
}

/** Durations are in seconds; counts are of the whole run, not of this process. */
export interface RunResult {
  readonly migration: string;
  readonly runId: string;
  /** Of a migration in phases: this one, and the one that comes once this is completed. */
  readonly phase: MigrationPhase | null;
  readonly nextPhase: MigrationPhase | null;
  readonly state: RunState;
  readonly scanned: number;
  readonly changed: number;
  readonly inserted: number;
  readonly deleted: number;
  readonly unchanged: number;
  readonly skipped: number;
  readonly failed: number;
  readonly total: number;
  readonly batches: number;
  readonly conflictsRetried: number;
  /** Where the time of batches went, in ms of one batch; null when this process had none. */
  readonly phases: PhaseTable | null;
  /** What limits the run, in one sentence; null below 20 batches. */
  readonly bottleneck: string | null;
  /** The cursor that this process began at; null when the run began with it. */
  readonly resumedFrom: ShownId | null;
  readonly resumed: boolean;
  /** The run had been completed before: nothing was done, and the figures are those of then. */
  readonly wasDone: boolean;
  readonly seconds: number;
  readonly docsPerSecond: number;
  readonly throttledSeconds: number;
  /** Its schema steps, and how far they are. */
  readonly schema: readonly SchemaView[];
  /** Why it rests where it does, as the history has it. */
  readonly because: string;
}

function resultOf(
  { phase, phases }: LoadedMigration,
  run: RunDocument,
  before: RunDocument,
  isNew: boolean,
  elapsedMs: number,
): RunResult {
  const { counters } = run;
  const here = counters.scanned - (isNew ? 0 : before.counters.scanned);
  return {
    migration: run.migration,
    runId: run._id,
    phase,
    nextPhase: (phase && phases[phases.indexOf(phase) + 1]) ?? null,
    state: run.state,
    scanned: counters.scanned,
    changed: counters.changed,
    inserted: counters.inserted ?? 0,
    deleted: counters.deleted ?? 0,
    unchanged: counters.unchanged,
    skipped: counters.skipped,
    failed: counters.failed,
    total: run.total,
    batches: run.batches,
    conflictsRetried: run.conflictsRetried,
    phases: run.phases ?? null,
    bottleneck: run.bottleneck ?? null,
    resumedFrom: isNew || !before.resumeCursor ? null : new ShownId(before.resumeCursor.id),
    resumed: !isNew,
    wasDone: before.state === 'completed' && run === before,
    seconds: elapsedMs / 1_000,
    docsPerSecond: elapsedMs > 0 ? Math.round(here / (elapsedMs / 1_000)) : 0,
    throttledSeconds: Object.values(run.throttledMs ?? {}).reduce((sum, ms) => sum + ms, 0) / 1_000,
    schema: schemaViews(run),
    because: run.history.at(-1)?.because ?? '',
  };
}

async function planFactsOf(session: Session, { loaded, settings, signal }: RunFacts): Promise<PlanFacts> {
  return {
    loaded,
    db: session.db,
    state: session.state,
    server: session.server,
    replicaSetId: await readReplicaSetId(session.client),
    gitCommit: await gitCommit(session.config.cwd),
    godwitVersion: VERSION,
    workers: settings.workers,
    events: session.events,
    author: { locate: locateIn(loaded), timeoutMs: settings.transformTimeoutMs },
    signal,
  };
}

/** A window that has closed does not open again. @throws GodwitError GODWIT_WINDOW_CLOSED */
async function requireWindow({ client, config }: Session, { id }: LoadedMigration): Promise<void> {
  const { window } = config.settings;
  if (!window || phaseOf(window, await readServerTime(client)) !== 'closed') return;
  throw new GodwitError(
    'GODWIT_WINDOW_CLOSED',
    `wanted to run ${id} in its window, found that it closed ${shown(window, window.end)}`,
    { next: ['set the next one in the configuration: window: { zone, start, end }'] },
  );
}

/** The state as a run of this migration needs it. */
async function makeReady(session: Session, { units }: LoadedMigration): Promise<void> {
  await readyState(session);
  if (units.some(({ kind }) => kind === 'merge')) await ensureIdMap(session.state);
}

/** The run to carry on: the current one, or a new one. @param room asked before anything is written for it */
async function planOrResume(
  session: Session,
  facts: RunFacts,
  room: (run: RunDocument | null) => Promise<string | null>,
): Promise<{ run: RunDocument; isNew: boolean; note: string | null }> {
  const { loaded } = facts;
  let current = await findCurrentRun(session.state, loaded.id);
  if (current && isSpent(current.state)) {
    await retire(facts, current);
    current = await findCurrentRun(session.state, loaded.id);
  }
  if (!current) {
    await requireSchema(session, loaded);
    const note = await room(null);
    await makeReady(session, loaded);
    return { run: await planRun(await planFactsOf(session, facts)), isNew: true, note };
  }
  requireSameFile(loaded, current);
  if (current.direction === 'down') throw rollbackUnderWay(current);
  await requireGround(facts, current);
  await makeReady(session, loaded);
  return { run: current, isNew: false, note: current.state === 'completed' ? null : await room(current) };
}

/** There must be something in quarantine to take up. @throws GodwitError GODWIT_NOT_RUN, GODWIT_USAGE */
async function requireQuarantine(session: Session, migration: string): Promise<void> {
  const run = await requireRun(session, migration);
  requireAuditKept(run);
  if (run.direction === 'up' && (await countFailures(session.state, run._id)) > 0) return;
  throw new GodwitError(
    'GODWIT_USAGE',
    `wanted documents of ${migration} in quarantine to take up again, found none (${run.state})`,
    {
      next: [`godwit status ${migration}`],
    },
  );
}

/** Checks everything that can be checked before anything is touched. */
async function prepare(session: Session, id: string, options: RunOptions): Promise<LoadedMigration> {
  const loaded = await (options.retry ? loadById(session, id) : loadDue(session, id, options.phase));
  if (options.retry) await requireQuarantine(session, loaded.id);
  if (options.only !== undefined) requireDocuments(loaded);
  requireTransactions(session.server);
  await requireWindow(session, loaded);
  // First: what it finds missing may be what one before it makes.
  await requireDependencies(session, loaded);
  requireForeignTargets(session, loaded);
  await requireSteps(session, loaded);
  if (loaded.phase === 'contract') await requireContract(session, loaded, options.signal);
  return loaded;
}

/** Ends the transactions of a process that is about to leave at once; what it can't reach the server ends. */
async function endTransactions(session: Session, sessions: readonly ClientSession[]): Promise<void> {
  await killSessions(session.client, sessions.map(sessionId)).catch(() => undefined);
}

export interface StartedRun {
  readonly result: Promise<RunResult>;
  /** Ends the open transactions: whatever was not committed is undone by the server. */
  abort(): Promise<void>;
}

/**
 * Runs a migration, or goes on where it was.
 *
 * @throws (in `result`) every error of docs/reference/errors.md that concerns a run
 */
export function startRun(session: Session, id: string, options: RunOptions = {}): StartedRun {
  let sessions: readonly ClientSession[] = [];
  const work = async (): Promise<RunResult> => {
    const loaded = await prepare(session, id, options);
    const isCanary = options.limit !== undefined || options.only !== undefined;
    const settings = runSettings(session.config, {
      ...options,
      ...(isCanary ? { workers: 1 } : {}),
      isCanary,
      isForwards: true,
    });
    const only = options.only === undefined ? undefined : await idsOf(session, loaded, options.only);
    const facts = runFacts(session, loaded, settings, {
      signal: options.signal,
      onSessions: (own) => {
        sessions = own;
      },
    });
    // What a canary writes fits everywhere.
    const { run, isNew, note } = await planOrResume(session, facts, async (current) =>
      isCanary ? null : requireRoom(session, loaded, current),
    );
    const planned = ({ _id, migration, total }: RunDocument): void => {
      session.events.emit('run:planned', { run: _id, migration, total, resumed: !isNew });
    };
    planned(run);
    if (note !== null) session.events.emit('run:note', { run: run._id, note });
    if (run.state === 'completed' && !options.retry) return resultOf(loaded, run, run, false, 0);
    const startedAt = performance.now();
    const ready = await leadIn(facts, run, () => planFactsOf(session, facts));
    // Stopped on request before there were documents to be planned.
    if (ready !== run) planned(ready);
    if (isUnplanned(loaded, ready)) return resultOf(loaded, ready, run, isNew, performance.now() - startedAt);
    const after = await carryOn(facts, ready, {
      ...(options.limit === undefined ? {} : { limit: options.limit }),
      ...(only === undefined ? {} : { only }),
      ...(options.retry ? { retry: true } : {}),
      ...(options.follow ? { follow: true } : {}),
    });
    return resultOf(loaded, after, run, isNew, performance.now() - startedAt);
  };
  const result = work().catch((error: unknown) => {
    throw translateServerError(error);
  });
  return { result, abort: () => endTransactions(session, sessions) };
}
