/**
 * What may be purged. The audit of a run is its way back, and holds data of persons: it is kept until nobody can need
 * it (a later run has taken the place of one that is rolled back, and the retention is over), or until somebody gives
 * the way back up by name, with a reason that stays on record.
 */
import { isSpent, type RunDocument } from '../domain/run.js';

/** True when no rollback can need the audit of this run any more. */
export const isFree = (run: RunDocument): boolean => !run.current && isSpent(run.state) && run.purged === null;

/** True when the run has been at rest for longer than the retention. `now` is the server's clock. */
export const isOver = ({ updatedAt }: RunDocument, retentionMs: number, now: Date): boolean =>
  now.getTime() - updatedAt.getTime() > retentionMs;
