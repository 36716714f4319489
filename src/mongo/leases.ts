/**
 * Taking, renewing and giving back the lease of a run. Judged by the server's clock (`$$NOW`) in one update each.
 *
 * Taking over: the new fence is written first (with the dead holder's sessions still in the list), then those sessions
 * are ended, and only then the chunks get the new fence, so that an orphan transaction never blocks the takeover.
 */
import { randomUUID } from 'node:crypto';
import type { Binary, ClientSession, Document, Filter, MongoClient } from 'mongodb';
import { FIRST_TAKING, NO_FENCE, type Owner } from '../domain/lease.js';
import type { RunDocument } from '../domain/run.js';
import { type State, underLease } from './state.js';

export interface TakeOptions {
  readonly owner: Owner;
  readonly leaseMs: number;
  /** Session ids of this process's workers. */
  readonly sessions: readonly Binary[];
  /** Fence of a holder that is known to be dead: its lease may be taken before it expires. */
  readonly deadFence?: string;
}

const inMs = (ms: number): Document => ({ $dateAdd: { startDate: '$$NOW', unit: 'millisecond', amount: ms } });

export const sessionId = (session: ClientSession): Binary => {
  const id = session.id?.id;
  if (!id) throw new Error('the driver gave a session without an id');
  return id;
};

/** What the holder before was kept by, if it died of it, keeps nobody any more. */
const AT_WORK = { throttled: [], stalled: null };

/**
 * Takes the lease if it is free, expired, or held by the given dead holder.
 *
 * @returns the run as it is now with the new lease, or null when somebody else holds it
 */
export async function takeLease(state: State, run: string, options: TakeOptions): Promise<RunDocument | null> {
  const free: Document[] = [{ lease: null }, { $expr: { $lt: ['$lease.expiresAt', '$$NOW'] } }];
  if (options.deadFence) free.push({ 'lease.fence': options.deadFence });
  // Ten digits that grow with every taking come first: fences are told older from newer as texts.
  const takings = { $add: ['$takings', 1] };
  const lease = {
    owner: { $literal: options.owner },
    fence: { $concat: [{ $toString: { $add: [FIRST_TAKING, takings] } }, '-', randomUUID()] },
    since: '$$NOW',
    renewedAt: '$$NOW',
    expiresAt: inMs(options.leaseMs),
    sessions: { $concatArrays: [{ $ifNull: ['$lease.sessions', []] }, { $literal: options.sessions }] },
  };
  return state.runs.findOneAndUpdate(
    { _id: run, current: true, $or: free } as Filter<RunDocument>,
    [
      {
        $set: {
          lease,
          takings,
          ownSessions: { $concatArrays: ['$ownSessions', { $literal: options.sessions }] },
          ...AT_WORK,
        },
      },
    ],
    {
      returnDocument: 'after',
    },
  );
}

/** Ends the sessions that a dead holder left, then the lease lists only the new holder's. */
export async function endOrphans(
  client: MongoClient,
  state: State,
  run: RunDocument,
  own: readonly Binary[],
): Promise<number> {
  const mine = new Set(own.map((id) => id.toString('hex')));
  const orphans = (run.lease?.sessions ?? []).filter((id) => !mine.has(id.toString('hex')));
  if (orphans.length > 0) await killSessions(client, orphans);
  await state.runs.updateOne(underLease(run._id, run.lease?.fence ?? ''), {
    $set: { 'lease.sessions': own },
  } as Document);
  return orphans.length;
}

/** Ends sessions and with them their open transactions. A user may always end its own. */
export async function killSessions(client: MongoClient, ids: readonly Binary[]): Promise<void> {
  await client.db('admin').command({ killSessions: ids.map((id) => ({ id })) });
}

/**
 * Puts the fence into every chunk of the run; from here on only its holder can commit. Never over a newer fence: a
 * holder that was stopped in its takeover, and lost the lease meanwhile, takes nothing from the next one.
 *
 * @returns false when a newer one is there: the lease is lost
 */
export async function moveFences(state: State, run: string, fence: string): Promise<boolean> {
  await state.chunks.updateMany({ run, fence: { $lt: fence } }, { $set: { fence } });
  return (await state.chunks.countDocuments({ run, fence: { $ne: fence } }, { limit: 1 })) === 0;
}

/** Takes every fence away, whatever it is: only for a run that is to be planned anew. */
export async function resetFences(state: State, run: string): Promise<void> {
  await state.chunks.updateMany({ run }, { $set: { fence: NO_FENCE } });
}

/** Prolongs the lease; false when it is another's by now. */
export async function renewLease(state: State, run: string, fence: string, leaseMs: number): Promise<boolean> {
  const result = await state.runs.updateOne(underLease(run, fence), [
    { $set: { 'lease.renewedAt': '$$NOW', 'lease.expiresAt': inMs(leaseMs) } },
  ]);
  return result.matchedCount === 1;
}

/** True while the lease has this fence. */
export const holdsLease = async (state: State, run: string, fence: string): Promise<boolean> =>
  (await state.runs.findOne(underLease(run, fence), { projection: { _id: 1 } })) !== null;

/** Gives the lease back, if it is still ours. */
export async function releaseLease(state: State, run: string, fence: string): Promise<void> {
  await state.runs.updateOne(underLease(run, fence), { $set: { lease: null } });
}
