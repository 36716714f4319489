/**
 * `amend`: accepts, with a reason that stays on record, a changed file of a run that has begun, or collections that are
 * not those that it was planned for.
 */
import type { RunState } from '../domain/run.js';
import { acceptGround, isDoubtful } from '../engine/ground.js';
import { whoami } from '../engine/owner.js';
import { GodwitError } from '../errors.js';
import { amendRun } from '../mongo/runs.js';
import { loadById } from './by-id.js';
import { requireRun, runFacts, runSettings, type Session } from './session.js';

export interface AmendResult {
  readonly migration: string;
  readonly runId: string;
  /** `restored` when its collections, or its state, were not those of the run: the next one plans anew. */
  readonly state: RunState;
  readonly checksum: string;
  readonly previous: string;
  readonly because: string;
}

/** @throws GodwitError GODWIT_NOT_RUN, GODWIT_USAGE for an empty reason */
export async function amend(session: Session, id: string, because: string): Promise<AmendResult> {
  if (because.trim() === '') throw new GodwitError('GODWIT_USAGE', 'wanted a reason in --because, found an empty one');
  const loaded = await loadById(session, id);
  const run = await requireRun(session, loaded.id);
  if (run.checksum !== loaded.checksum)
    await amendRun(
      session.state,
      run,
      { checksum: loaded.checksum, files: loaded.files },
      { by: whoami(), because: `amended: ${because}` },
    );
  const isAnew = await isDoubtful(session, run);
  if (isAnew) await acceptGround(runFacts(session, loaded, runSettings(session.config)), run, `amended: ${because}`);
  const state = isAnew ? 'restored' : run.state;
  return { migration: loaded.id, state, runId: run._id, checksum: loaded.checksum, previous: run.checksum, because };
}
