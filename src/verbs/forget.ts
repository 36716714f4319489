/** `forget`: closes a run that nobody can finish, and keeps it, its audit and the reason on record. */
import { isLive, type RunState } from '../domain/run.js';
import { lifeOf, whoami } from '../engine/owner.js';
import { GodwitError } from '../errors.js';
import { forgetRun } from '../mongo/runs.js';
import { resolveId } from './by-id.js';
import { recordPlace } from './place.js';
import { requireRun, type Session } from './session.js';

export interface ForgetResult {
  readonly migration: string;
  readonly runId: string;
  /** In which the run was closed. */
  readonly state: RunState;
  /** Documents that it had changed and that stay as they are. */
  readonly changed: number;
  readonly because: string;
}

/** @throws GodwitError GODWIT_NOT_RUN, GODWIT_LEASE_HELD, GODWIT_USAGE for an empty reason or a run that is complete */
export async function forget(session: Session, id: string, because: string): Promise<ForgetResult> {
  if (because.trim() === '') throw new GodwitError('GODWIT_USAGE', 'wanted a reason in --because, found an empty one');
  const migration = await resolveId(session, id);
  const run = await requireRun(session, migration);
  if (run.state === 'completed' || run.state === 'rolled-back')
    throw new GodwitError('GODWIT_USAGE', `${migration} is ${run.state}: there is nothing to be closed`, {
      next: [`godwit status ${migration}`, 'godwit audit purge ID   gives the way back of a run up'],
    });
  const life = run.lease ? lifeOf(run.lease.owner) : 'dead';
  const isHeld = run.lease !== null && run.lease.expiresAt.getTime() > Date.now() - session.server.clockOffsetMs;
  if (isLive(run.state) && (life === 'alive' || (life === 'unknown' && isHeld)))
    throw new GodwitError('GODWIT_LEASE_HELD', `somebody works on ${migration}: it cannot be closed under them`, {
      next: [`godwit stop ${migration}`, `godwit status ${migration}`],
    });
  await recordPlace(session);
  if (!(await forgetRun(session.state, run, { by: whoami(), because: `forgotten: ${because}` })))
    throw new GodwitError('GODWIT_NOT_RUN', `wanted the run of ${migration} to be closed, found another one by now`, {
      next: [`godwit status ${migration}`],
    });
  const { changed, inserted = 0, deleted = 0 } = run.counters;
  return { migration, runId: run._id, state: run.state, changed: changed + inserted + deleted, because };
}
