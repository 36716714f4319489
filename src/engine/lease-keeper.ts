/** Holds the lease of a run while it is worked on: takes it, renews it, says when it is lost, gives it back. */
import type { ClientSession, Db, MongoClient } from 'mongodb';
import { describeOwner, type Lease } from '../domain/lease.js';
import { plannedCollections, type RunDocument } from '../domain/run.js';
import { GodwitError } from '../errors.js';
import type { Events } from '../events.js';
import { pause } from '../kernel/retry.js';
import {
  endOrphans,
  moveFences,
  releaseLease,
  renewLease,
  resetFences,
  sessionId,
  type TakeOptions,
  takeLease,
} from '../mongo/leases.js';
import { findRun } from '../mongo/runs.js';
import { translateServerError } from '../mongo/server-errors.js';
import type { State } from '../mongo/state.js';
import { findTarget } from '../mongo/target.js';
import { leaseLost } from './doubt.js';
import { faultPoint } from './fault-points.js';
import { currentOwner, lifeOf } from './owner.js';
import { withPatience } from './patiently.js';

export interface LeaseFacts {
  readonly client: MongoClient;
  readonly db: Db;
  readonly state: State;
  readonly leaseMs: number;
  /** How long a server that does not answer is waited for, in ms. */
  readonly outageMs: number;
  readonly sessions: readonly ClientSession[];
  readonly events: Events;
  /** The fences of the chunks are not believed (edited, or restored from a backup). */
  readonly resetsFences?: boolean;
  /** The collections of the plan are about to go. */
  readonly isUnwatched?: boolean;
}

export function leaseHeld(run: RunDocument, lease: Lease): GodwitError {
  return new GodwitError(
    'GODWIT_LEASE_HELD',
    `wanted the lease of ${run.migration}, found it held by ${describeOwner(lease.owner)} since ${lease.since.toISOString()} (${run.state}, renewed ${lease.renewedAt.toISOString()})`,
    {
      next: [`godwit status ${run.migration}   watches it`, 'nothing was touched by this process'],
      details: {
        migration: run.migration,
        run: run._id,
        holder: { host: lease.owner.host, pid: lease.owner.pid, user: lease.owner.user },
      },
    },
  );
}

const runRetired = (run: RunDocument, now: RunDocument | null): GodwitError =>
  new GodwitError(
    now ? 'GODWIT_STATE_EDITED' : 'GODWIT_STATE_LOST',
    `wanted the lease of run ${run._id} of ${run.migration}, found ${now ? 'a later run of it' : 'no such run any more'}`,
    { next: [`godwit status ${run.migration}`, 'nothing was touched by this process'] },
  );

/**
 * Takes the lease; waits for that of a holder who may be dead, for as long as it can last.
 *
 * @throws GodwitError GODWIT_LEASE_HELD when the holder lives, GODWIT_STATE_EDITED when the run was retired meanwhile,
 *   GODWIT_STATE_LOST when it is gone
 */
export async function acquireLease(facts: LeaseFacts, run: RunDocument, signal: AbortSignal): Promise<RunDocument> {
  const sessions = facts.sessions.map(sessionId);
  const options = { owner: currentOwner(), leaseMs: facts.leaseMs, sessions };
  const seen = run.lease?.renewedAt.getTime();
  const deadline = performance.now() + 2 * facts.leaseMs;
  const note = (text: string): void => {
    facts.events.emit('run:note', { run: run._id, note: text });
  };
  const patience = { ms: facts.outageMs, signal, note };
  for (;;) {
    const { now, life, taken } = await withPatience(patience, () => tryToTake(facts.state, run, options));
    if (taken) return withPatience(patience, () => takeOver(facts, taken, run));
    const holder = now.lease;
    const isRenewed = holder && seen !== undefined && holder.renewedAt.getTime() > seen;
    if (holder && (life === 'alive' || isRenewed || performance.now() > deadline)) throw leaseHeld(now, holder);
    if (signal.aborted) throw signal.reason;
    note(`waiting for the lease of ${holder ? describeOwner(holder.owner) : 'nobody'} to end`);
    await pause(500, signal);
  }
}

/** Once. A lease whose taking was answered by an error may be ours all the same: our sessions are its last ones then. */
async function tryToTake(
  state: State,
  run: RunDocument,
  options: Omit<TakeOptions, 'deadFence'>,
): Promise<{
  readonly now: RunDocument;
  readonly life: ReturnType<typeof lifeOf>;
  readonly taken: RunDocument | null;
}> {
  const now = await findRun(state, run._id);
  if (!now?.current) throw runRetired(run, now);
  const { lease: holder } = now;
  const life = holder ? lifeOf(holder.owner) : 'dead';
  const last = holder?.sessions.at(-1)?.toString('hex');
  if (last !== undefined && last === options.sessions.at(-1)?.toString('hex')) return { now, life, taken: now };
  const deadFence = holder && life === 'dead' ? { deadFence: holder.fence } : {};
  return { now, life, taken: await takeLease(state, run._id, { ...options, ...deadFence }) };
}

async function takeOver(facts: LeaseFacts, taken: RunDocument, before: RunDocument): Promise<RunDocument> {
  await faultPoint('lease:after-take');
  const ended = await endOrphans(facts.client, facts.state, taken, facts.sessions.map(sessionId));
  await faultPoint('sessions:after-kill');
  if (facts.resetsFences) await resetFences(facts.state, taken._id);
  if (!(await moveFences(facts.state, taken._id, taken.lease?.fence ?? ''))) throw await fenceInTheWay(facts, taken);
  if (ended > 0 && before.lease)
    facts.events.emit('run:note', {
      run: taken._id,
      note: `ended the open transactions of the previous runner (${describeOwner(before.lease.owner)})`,
    });
  return taken;
}

/** A newer fence in the chunks: the next holder's, or nobody's. */
async function fenceInTheWay({ state }: LeaseFacts, taken: RunDocument): Promise<GodwitError> {
  const now = await findRun(state, taken._id);
  if (now?.lease?.fence !== taken.lease?.fence) return leaseLost(taken.migration);
  await releaseLease(state, taken._id, taken.lease?.fence ?? '');
  return new GodwitError(
    'GODWIT_STATE_EDITED',
    `wanted the fences of the chunks of ${taken.migration} as Godwit wrote them, found another one`,
    { next: [`godwit amend ${taken.migration} --because "…"   accepts the state as it is; the next run plans anew`] },
  );
}

/** Renews the lease in the background until stopped; `lost` is called once, with the reason. */
export class LeaseKeeper {
  #timer: NodeJS.Timeout | undefined;
  #under: Promise<void> = Promise.resolve();

  constructor(
    private readonly facts: LeaseFacts,
    private readonly run: RunDocument,
    private readonly lost: (error: GodwitError) => void,
  ) {
    this.#timer = setInterval(
      () => {
        this.#under = this.#renew();
      },
      Math.floor(facts.leaseMs / 3),
    );
    this.#timer.unref();
  }

  get fence(): string {
    return this.run.lease?.fence ?? '';
  }

  async #renew(): Promise<void> {
    try {
      const isOurs = await renewLease(this.facts.state, this.run._id, this.fence, this.facts.leaseMs);
      if (!isOurs) return this.#stop(leaseLost(this.run.migration));
      if (!this.facts.isUnwatched) await this.#checkTargets();
    } catch (error) {
      // Not renewed this time. The fence decides whether a later batch may commit; say what was seen.
      this.facts.events.emit('run:note', {
        run: this.run._id,
        note: `the lease could not be renewed: ${translateServerError(error).message}`,
      });
    }
  }

  async #checkTargets(): Promise<void> {
    for (const { collection, uuid } of plannedCollections(this.run.steps)) {
      const target = await findTarget(this.facts.db, collection);
      if (target?.uuid !== uuid)
        return this.#stop(
          targetReplaced(`${this.facts.db.databaseName}.${collection}`, this.run.migration, target === null),
        );
    }
  }

  #stop(error: GodwitError): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.lost(error);
  }

  /** Renews it no more, and gives it back if it is still ours; unless it is kept, to end by itself. */
  async close(isGivenBack: boolean): Promise<void> {
    clearInterval(this.#timer);
    await this.#under;
    if (!isGivenBack) return;
    try {
      await releaseLease(this.facts.state, this.run._id, this.fence);
    } catch (error) {
      // It ends by itself; the next runner waits for it.
      this.facts.events.emit('run:note', {
        run: this.run._id,
        note: `the lease could not be given back: ${translateServerError(error).message}`,
      });
    }
  }
}

export const targetReplaced = (name: string, migration: string, isGone: boolean): GodwitError =>
  new GodwitError(
    'GODWIT_TARGET_REPLACED',
    `wanted the collection that was planned, found that ${name} is ${isGone ? 'gone' : 'another one now'}`,
    {
      next: [`godwit status ${migration}`, 'put the planned collection back and run again; the audit stays'],
    },
  );
