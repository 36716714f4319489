/** `list` and `status`: the migrations of the project and what became of them, from files and database together. */

import { addCounters, NO_COUNTERS, NO_UNDO, undoTotal, writtenOf } from '../domain/chunk.js';
import type { SignalOff, Stall, Throttle } from '../domain/control.js';
import { byPhase } from '../domain/expand-contract.js';
import { describeOwner } from '../domain/lease.js';
import type { PhaseTable } from '../domain/phases.js';
import { isLive, type RunDocument, type RunState, type Transition } from '../domain/run.js';
import { lifeOf } from '../engine/owner.js';
import { GodwitError, isGodwitError } from '../errors.js';
import { findMigrations, type MigrationFile } from '../migration/find.js';
import { loadPhases } from '../migration/load.js';
import { groupFailures, type StoredFailureGroup } from '../mongo/failures.js';
import { findCurrentRun, listCurrentRuns } from '../mongo/runs.js';
import type { FailureGroup } from '../report/failure-groups.js';
import { ShownId } from '../report/shown-id.js';
import { resolveId } from './by-id.js';
import { type ChunkView, chunkViews } from './chunks.js';
import { estimateEnd, type Rate, unknownEta } from './end.js';
import { type RollbackReadiness, rollbackReadiness } from './readiness.js';
import { type SchemaView, schemaViews } from './schema.js';
import type { Session } from './session.js';

export interface LeaseView {
  readonly holder: string;
  readonly fence: string;
  readonly renewedAt: string;
  readonly expiresAt: string;
  /** `dead`: the process is gone, the lease can be taken at once; `unknown`: another machine. */
  readonly life: 'alive' | 'dead' | 'unknown';
}

export interface MigrationStatus extends Rate {
  readonly id: string;
  readonly description: string;
  readonly author: string | null;
  readonly pr: string | null;
  /** `pending` without a run, `broken` when the file cannot be loaded. */
  readonly state: RunState | 'pending' | 'broken';
  /** Why it is broken, or why it rests. */
  readonly because: string | null;
  readonly checksum: string | null;
  /** False when the file is not the one that the run began with. */
  readonly fileUnchanged: boolean | null;
  /** `changed` since its run began; `missing`: the run is known from the state only. */
  readonly file: 'there' | 'changed' | 'missing';
  readonly runId: string | null;
  readonly scanned: number;
  readonly changed: number;
  readonly inserted: number;
  readonly deleted: number;
  readonly unchanged: number;
  readonly skipped: number;
  readonly failed: number;
  readonly total: number;
  readonly startedAt: string | null;
  readonly updatedAt: string | null;
  readonly finishedAt: string | null;
  /** Where a resumed run goes on. */
  readonly cursor: ShownId | null;
  /** Why the next batch waits now; nothing where nobody is at work. */
  readonly throttled: readonly Throttle[];
  /** No batch has been committed for a while; null: batches go through. */
  readonly stalled: Stall | null;
  /** Signals that its runner may not look at, with what they need. */
  readonly signalsOff: readonly SignalOff[];
  readonly lease: LeaseView | null;
  readonly failures: readonly FailureGroup[];
  readonly history: readonly {
    readonly from: string | null;
    readonly to: string;
    readonly at: string;
    readonly by: string;
    readonly because: string;
  }[];
  /** Its schema steps, and how far they are. */
  readonly schema: readonly SchemaView[];
  readonly undo: RunDocument['undo'];
  /** Told by `status` of one migration; null in lists. */
  readonly rollbackReadiness: RollbackReadiness | null;
  /** How far each chunk is; told by `status` of one migration, null in lists. */
  readonly chunks: readonly ChunkView[] | null;
  readonly batches: number;
  readonly conflictsRetried: number;
  /** Where the time of batches goes, in ms of one batch; null before the first. */
  readonly phases: PhaseTable | null;
  /** What limits the run, in one sentence; null below 20 batches. */
  readonly bottleneck: string | null;
}

interface FileFacts {
  readonly description: string;
  readonly author: string | null;
  readonly pr: string | null;
  readonly checksum: string | null;
  readonly broken: string | null;
}

/** Of a file with phases, one for each. */
async function readFileFacts(file: MigrationFile): Promise<(readonly [id: string, FileFacts])[]> {
  try {
    return (await loadPhases(file)).map(({ id, migration, checksum }) => {
      const { description, author = null, pr = null } = migration;
      return [id, { description, author, pr, checksum, broken: null }];
    });
  } catch (error) {
    if (!isGodwitError(error)) throw error;
    return [[file.id, { description: '', author: null, pr: null, checksum: null, broken: error.message }]];
  }
}

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

function leaseView(run: RunDocument): LeaseView | null {
  if (!run.lease) return null;
  const { owner, fence, renewedAt, expiresAt } = run.lease;
  return {
    holder: describeOwner(owner),
    fence,
    renewedAt: renewedAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
    life: lifeOf(owner),
  };
}

const isBehindLease = (run: RunDocument, life: LeaseView | null): boolean =>
  isLive(run.state) && (life === null || life.life === 'dead');

/** A living state whose holder is gone is shown as what it is. */
function stateOf(run: RunDocument, lease: LeaseView | null): { state: RunState; because: string } {
  if (isBehindLease(run, lease) && run.state !== 'planned')
    return { state: 'interrupted', because: `its runner died${lease ? ` (${lease.holder})` : ''}` };
  return { state: run.state, because: run.history.at(-1)?.because ?? '' };
}

const viewTransition = ({ from, to, at, by, because }: Transition): MigrationStatus['history'][number] => ({
  from,
  to,
  at: at.toISOString(),
  by,
  because,
});

function withRun(
  id: string,
  file: FileFacts | null,
  run: RunDocument,
  failures: readonly StoredFailureGroup[],
): MigrationStatus {
  const lease = leaseView(run);
  const { state, because } = stateOf(run, lease);
  const isMoving = isLive(state) && lease !== null;
  const done = state === 'rolling-back' ? undoTotal(run.undo ?? NO_UNDO) : run.counters.scanned;
  const total = state === 'rolling-back' ? writtenOf(run.counters) : Math.max(run.total, run.counters.scanned);
  return {
    id,
    description: file?.description || run.description,
    author: run.author,
    pr: run.pr,
    state,
    because,
    checksum: run.checksum,
    fileUnchanged: file ? file.checksum === run.checksum : null,
    file: file ? (file.checksum === run.checksum || file.checksum === null ? 'there' : 'changed') : 'missing',
    runId: run._id,
    ...addCounters(NO_COUNTERS, run.counters),
    total,
    startedAt: iso(run.startedAt),
    updatedAt: iso(run.updatedAt),
    finishedAt: iso(run.finishedAt),
    cursor: run.resumeCursor ? new ShownId(run.resumeCursor.id) : null,
    ...estimateEnd(done, total, run.workedMs, isMoving),
    throttled: isMoving ? (run.throttled ?? []) : [],
    stalled: isMoving ? (run.stalled ?? null) : null,
    signalsOff: run.signalsOff ?? [],
    lease,
    failures: failures.map(({ at, firstId, other, ...group }) => ({
      ...group,
      firstId: new ShownId(firstId),
      ...(other ? { otherId: new ShownId(other.id) } : {}),
      ...(at === null ? {} : { at }),
    })),
    history: run.history.map(viewTransition),
    schema: schemaViews(run),
    undo: run.undo,
    rollbackReadiness: null,
    chunks: null,
    batches: run.batches,
    conflictsRetried: run.conflictsRetried,
    phases: run.phases ?? null,
    bottleneck: run.bottleneck ?? null,
  };
}

function pending(id: string, file: FileFacts): MigrationStatus {
  return {
    id,
    description: file.description,
    author: file.author,
    pr: file.pr,
    state: file.broken === null ? 'pending' : 'broken',
    because: file.broken,
    checksum: file.checksum,
    fileUnchanged: null,
    file: 'there',
    runId: null,
    ...NO_COUNTERS,
    total: 0,
    startedAt: null,
    updatedAt: null,
    finishedAt: null,
    cursor: null,
    ...unknownEta(null, 'it has not run'),
    throttled: [],
    stalled: null,
    signalsOff: [],
    lease: null,
    failures: [],
    history: [],
    schema: [],
    undo: null,
    rollbackReadiness: null,
    chunks: null,
    batches: 0,
    conflictsRetried: 0,
    phases: null,
    bottleneck: null,
  };
}

/** Every migration, by id: those with a file, and those that ran and whose file is gone. */
export async function listMigrations(session: Session): Promise<MigrationStatus[]> {
  const files = await findMigrations(session.config.migrationsFolder);
  const runs = new Map((await listCurrentRuns(session.state)).map((run) => [run.migration, run]));
  const rows: MigrationStatus[] = [];
  for (const file of files)
    for (const [id, facts] of await readFileFacts(file)) {
      const run = runs.get(id);
      runs.delete(id);
      rows.push(run ? withRun(id, facts, run, await groupFailures(session.state, run._id)) : pending(id, facts));
    }
  for (const run of runs.values())
    rows.push(withRun(run.migration, null, run, await groupFailures(session.state, run._id)));
  return rows.sort((a, b) => byPhase(a.id, b.id));
}

/** One migration with its chunks and its way back. @throws GodwitError GODWIT_MIGRATION_UNKNOWN */
export async function statusWithReadiness(session: Session, id: string): Promise<MigrationStatus> {
  const { row, run } = await withChunks(session, id);
  return run ? { ...row, rollbackReadiness: await rollbackReadiness(session, run) } : row;
}

/** One migration with its chunks. @throws GodwitError GODWIT_MIGRATION_UNKNOWN */
export const statusOf = async (session: Session, id: string): Promise<MigrationStatus> =>
  (await withChunks(session, id)).row;

async function withChunks(
  session: Session,
  id: string,
): Promise<{ readonly row: MigrationStatus; readonly run: RunDocument | null }> {
  const row = await rowOf(session, id);
  const run = row.runId === null ? null : await findCurrentRun(session.state, row.id);
  return { row: run ? { ...row, chunks: await chunkViews(session, run) } : row, run };
}

/** @throws GodwitError GODWIT_MIGRATION_UNKNOWN when there is neither a file nor a run */
async function rowOf(session: Session, id: string): Promise<MigrationStatus> {
  const whole = await resolveId(session, id);
  const row = (await listMigrations(session)).find((candidate) => candidate.id === whole);
  if (row) return row;
  throw new GodwitError('GODWIT_MIGRATION_UNKNOWN', `wanted the migration "${id}", found it gone meanwhile`, {
    next: ['godwit list'],
  });
}
