/** What `status` of one migration says of the way back. */
import { writtenOf } from '../domain/chunk.js';
import type { RunDocument } from '../domain/run.js';
import { readinessOf } from '../engine/readiness.js';
import { isGodwitError } from '../errors.js';
import { requireAuditKept, runFacts, runSettings, type Session } from './session.js';
import { loadOrRecall } from './without-file.js';

/** What a rollback would do now; of a large run as told by a sample of its batches. */
export interface RollbackReadiness {
  /** Documents looked at, and documents that the run has changed. */
  readonly sampled: number;
  readonly of: number;
  /** Byte for byte. */
  readonly exactly: number;
  /** Field by field, or by `down`: later edits are kept. */
  readonly keptFields: number;
  readonly alreadyBack: number;
  readonly goneSince: number;
  readonly conflicts: number;
  /** Inserted since; null where only a sample was looked at. */
  readonly noBefore: number | null;
  /** Why it cannot be told; null when it can. */
  readonly unknownBecause: string | null;
}

const UNKNOWN = {
  sampled: 0,
  exactly: 0,
  keptFields: 0,
  alreadyBack: 0,
  goneSince: 0,
  conflicts: 0,
  noBefore: null,
} as const;

/** Null for a run that has nothing to take back. */
export async function rollbackReadiness(session: Session, run: RunDocument): Promise<RollbackReadiness | null> {
  const of = writtenOf(run.counters);
  if (of === 0 || run.state === 'rolled-back') return null;
  try {
    requireAuditKept(run);
    const { loaded } = await loadOrRecall(session, run.migration);
    const seen = await readinessOf(runFacts(session, loaded, runSettings(session.config)), run);
    const { restored, removed, reinserted, overwritten: _none, ...counters } = seen.counters;
    const exactly = restored + removed + reinserted;
    return { sampled: seen.sampled, of, exactly, ...counters, noBefore: seen.noBefore, unknownBecause: null };
  } catch (error) {
    if (!isGodwitError(error)) throw error;
    return { ...UNKNOWN, of, unknownBecause: error.message };
  }
}
