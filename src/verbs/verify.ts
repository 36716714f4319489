/** `verify`: proves the migration's current run. */
import type { Check, Verification } from '../engine/checks.js';
import { verifyRun } from '../engine/verify.js';
import { verifyFromState } from '../engine/verify-state.js';
import { ShownId } from '../report/shown-id.js';
import { requireNotContracted } from './by-id.js';
import { requireRun, requireSameFile, runSettings, type Session } from './session.js';
import { loadOrRecall } from './without-file.js';

interface ShownCheck extends Omit<Check, 'listed'> {
  /** The first documents of a check that lists, and does not judge. */
  readonly listed?: readonly ShownId[];
}

export interface VerifyResult extends Omit<Verification, 'checks'> {
  readonly checks: readonly ShownCheck[];
  readonly migration: string;
  readonly runId: string;
  readonly seconds: number;
}

export interface VerifyOptions {
  readonly signal?: AbortSignal | undefined;
  /** Transform every document again, not only those that are no longer as the run left them. */
  readonly full?: boolean | undefined;
}

/** Reads everything, writes nothing. */
export async function verify(session: Session, id: string, options: VerifyOptions = {}): Promise<VerifyResult> {
  const startedAt = performance.now();
  const { loaded, hasFile } = await loadOrRecall(session, id);
  const run = await requireRun(session, loaded.id);
  requireSameFile(loaded, run);
  await requireNotContracted(session, loaded);
  const { db, state, events, config } = session;
  const { transformTimeoutMs } = runSettings(config);
  const signal = options.signal ?? new AbortController().signal;
  const verification = await (hasFile ? verifyRun : verifyFromState)({
    db,
    state,
    loaded,
    run,
    events,
    transformTimeoutMs,
    signal,
    isFull: options.full ?? false,
  });
  const checks = verification.checks.map(({ listed, ...check }) => ({
    ...check,
    ...(listed ? { listed: listed.map((id) => new ShownId(id)) } : {}),
  }));
  const seconds = (performance.now() - startedAt) / 1_000;
  return { migration: loaded.id, runId: run._id, ...verification, checks, seconds };
}
