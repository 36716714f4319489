/** What is in doubt after an error inside a batch: whether it is there, whose the lease is, whether the audit is whole. */
import type { ClientSession } from 'mongodb';
import { type Chunk, writtenOf } from '../domain/chunk.js';
import { GodwitError } from '../errors.js';
import { withoutHead } from '../mongo/audit-entries.js';
import { findChunk } from '../mongo/chunks.js';
import { isNetworkError } from '../mongo/server-errors.js';
import { CommitUnknown } from '../mongo/transaction.js';
import { serverGone } from './effort.js';
import type { RunContext, StepContext } from './run-context.js';

/** Thrown inside the transaction when the checkpoint matched nothing; `settle` finds out why. */
export class CheckpointMismatch extends Error {}

/** Thrown inside the transaction when the audit has a batch of that number already. */
export class BatchTaken extends CheckpointMismatch {}

export const leaseLost = (migration: string): GodwitError =>
  new GodwitError(
    'GODWIT_LEASE_LOST',
    `wanted to go on with ${migration}, found that its lease is another runner's by now, or gone; this process committed nothing since`,
    {
      next: [`godwit status ${migration}`],
    },
  );

/**
 * After an error that leaves the batch in doubt: the stored sequence number, read with majority, decides.
 *
 * @returns `open` when the batch is not there, `committed` when it is, or the chunk as another commit left it
 */
export async function settle(
  context: StepContext,
  chunk: Chunk,
  error: unknown,
): Promise<'open' | 'committed' | Chunk> {
  if (!(error instanceof CommitUnknown) && !(error instanceof CheckpointMismatch)) return 'open';
  const stored = await findChunk(context.state, chunk._id).catch((second: unknown) => {
    throw error instanceof CommitUnknown && isNetworkError(second)
      ? serverGone(second, context.settings.outageMs)
      : second;
  });
  if (!stored)
    throw new GodwitError('GODWIT_STATE_LOST', `wanted chunk ${chunk._id}, found that the state is gone`, {
      next: ['restore the state collections from a backup', `godwit verify ${context.run.migration}`],
    });
  if (stored.fence !== chunk.fence) throw leaseLost(context.run.migration);
  if (stored.seq === chunk.seq && !(error instanceof BatchTaken)) return 'open';
  if (stored.seq !== chunk.seq + 1)
    throw new GodwitError(
      'GODWIT_STATE_EDITED',
      `wanted chunk ${chunk._id} at batch ${chunk.seq}, found ${stored.seq}`,
      {
        next: [`godwit status ${context.run.migration}`],
      },
    );
  return error instanceof CommitUnknown ? 'committed' : stored;
}

/**
 * Nothing is added to an audit that has lost what came before: an insert into a dropped collection makes it anew,
 * without history. @throws GodwitError GODWIT_STATE_LOST
 */
export async function requireAudit(
  { state, run, tally }: RunContext,
  chunks: readonly Chunk[],
  session?: ClientSession,
): Promise<void> {
  const [lost] = await withoutHead(state, chunks, session);
  if (!lost) return;
  throw new GodwitError(
    'GODWIT_STATE_LOST',
    `wanted batch ${lost.seq} of chunk ${lost._id} in the audit as its checkpoint has it, found it gone or changed; the ${writtenOf(tally.counters)} documents that were migrated stay migrated`,
    { next: ['restore the audit collection from a backup', `godwit verify ${run.migration}   names what is missing`] },
  );
}
