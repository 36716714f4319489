/** `audit purge`: retention. */
import { isFree, isOver } from '../audit/retention.js';
import type { RunDocument } from '../domain/run.js';
import { leaseLost } from '../engine/doubt.js';
import { whoami } from '../engine/owner.js';
import { withLease } from '../engine/with-lease.js';
import { GodwitError } from '../errors.js';
import { auditTotals } from '../mongo/audit-entries.js';
import { listAllRuns, markPurged, markRetiredPurged, removeImages } from '../mongo/purge.js';
import { loadById, resolveId } from './by-id.js';
import { readyState, requireRun, runFacts, runSettings, type Session } from './session.js';

export interface PurgeOptions {
  /** The migration whose current run gives up its way back; without it, runs that nobody can need any more. */
  readonly id?: string | undefined;
  /** Stays on record; needed with an id. */
  readonly because?: string | undefined;
  /** In ms: instead of the configured retention. */
  readonly olderThanMs?: number | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface PurgedRun {
  readonly migration: string;
  readonly runId: string;
  readonly state: string;
  readonly entries: number;
  readonly bytes: number;
}

export interface PurgeResult {
  readonly dryRun: boolean;
  readonly purged: readonly PurgedRun[];
  readonly bytes: number;
  /** Runs that keep their audit: a rollback may need it, or their retention is not over. */
  readonly kept: number;
}

async function view(session: Session, run: RunDocument): Promise<PurgedRun> {
  const { entries, bytes } = await auditTotals(session.state, run._id, 'up');
  return { migration: run.migration, runId: run._id, state: run.state, entries, bytes };
}

/** A purge that was interrupted has marked its run, and left images. */
const hasImages = async ({ state }: Session, { _id: run }: RunDocument): Promise<boolean> =>
  (await state.audit.findOne({ run }, { projection: { _id: 1 } })) !== null;

/** The runs to purge, and how many of those with an audit are left. */
async function chosen(session: Session, options: PurgeOptions): Promise<{ runs: RunDocument[]; kept: number }> {
  const all = (await listAllRuns(session.state)).filter(({ purged }) => purged === null);
  if (options.id === undefined) {
    const retentionMs = options.olderThanMs ?? session.config.settings.audit.retention;
    const now = new Date(Date.now() - session.server.clockOffsetMs);
    const runs = all.filter((run) => isFree(run) && isOver(run, retentionMs, now));
    return { runs, kept: all.length - runs.length };
  }
  const run = await requireRun(session, await resolveId(session, options.id));
  if (!options.because?.trim())
    throw new GodwitError('GODWIT_USAGE', `wanted the reason why ${run.migration} gives up its way back, found none`, {
      next: [`godwit audit purge ${run.migration} --because "…"`],
    });
  if (run.state !== 'completed' && run.state !== 'rolled-back')
    throw new GodwitError(
      'GODWIT_USAGE',
      `wanted a run that is completed or rolled back, found ${run.migration} ${run.state}: it needs its audit`,
      { next: [`godwit status ${run.migration}`] },
    );
  const isDone = run.purged !== null && !(await hasImages(session, run));
  return { runs: isDone ? [] : [run], kept: all.filter(({ _id }) => _id !== run._id).length };
}

async function purgeCurrent(session: Session, run: RunDocument, because: string): Promise<void> {
  const facts = runFacts(session, await loadById(session, run.migration), runSettings(session.config));
  await withLease(facts, run, 0, async ({ state, fence }) => {
    if (!(await markPurged(state, run, fence, { by: whoami(), because, at: new Date() })))
      throw leaseLost(run.migration);
    await removeImages(state, run);
  });
}

/**
 * @throws GodwitError GODWIT_USAGE without a reason or for a run that is not at its end, GODWIT_NOT_RUN,
 *   GODWIT_LEASE_HELD
 */
export async function purge(session: Session, options: PurgeOptions = {}): Promise<PurgeResult> {
  const dryRun = options.dryRun ?? false;
  const { runs, kept } = await chosen(session, options);
  const purged: PurgedRun[] = [];
  if (!dryRun) await readyState(session);
  for (const run of runs) {
    purged.push(await view(session, run));
    if (dryRun) continue;
    if (run.current) await purgeCurrent(session, run, options.because ?? '');
    else await purgeRetired(session, run);
  }
  return { dryRun, purged, kept, bytes: purged.reduce((sum, { bytes }) => sum + bytes, 0) };
}

async function purgeRetired({ state }: Session, run: RunDocument): Promise<void> {
  // Marked last, so that an interrupted one is done again: nobody can roll a retired run back.
  await removeImages(state, run);
  await markRetiredPurged(state, run, { by: whoami(), because: 'retention', at: new Date() });
}
