/** Takes the images of a run away. The current one is marked first, so that nothing believes in half a way back. */
import type { Purge, RunDocument } from '../domain/run.js';
import { type State, underLease } from './state.js';

/** Every run on record, oldest first. */
export const listAllRuns = (state: State): Promise<RunDocument[]> => state.runs.find().sort({ startedAt: 1 }).toArray();

/** @returns false when the run is another's by now */
export async function markPurged(state: State, run: RunDocument, fence: string, purged: Purge): Promise<boolean> {
  const set = { purged: { ...purged, at: '$$NOW', because: { $literal: purged.because } } };
  return (await state.runs.updateOne(underLease(run._id, fence), [{ $set: set }])).matchedCount === 1;
}

/** Nobody holds the lease of a retired run, or can take it. */
export async function markRetiredPurged(state: State, { _id }: RunDocument, purged: Purge): Promise<void> {
  await state.runs.updateOne({ _id, current: false }, { $set: { purged } });
}

/**
 * Removes the images of a marked run; those of documents in quarantine only when it is not the current one. Can be
 * done again when it was interrupted.
 *
 * @returns audit documents removed
 */
export async function removeImages(state: State, { _id: run, current }: RunDocument): Promise<number> {
  const { deletedCount } = await state.audit.deleteMany({ run });
  await state.touched.deleteMany({ run });
  if (!current) await state.failures.deleteMany({ run });
  return deletedCount;
}
