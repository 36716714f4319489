/** Everything that a run or a rollback does happens inside its lease: sessions made, lease taken, and given back. */
import { setMaxListeners } from 'node:events';
import type { ClientSession, Db, MongoClient } from 'mongodb';
import type { RunDocument } from '../domain/run.js';
import type { Events } from '../events.js';
import { type LoadedMigration, locateIn } from '../migration/load.js';
import { whenPrimaryIsLost } from '../mongo/connect.js';
import { killSessions, sessionId } from '../mongo/leases.js';
import { findRun } from '../mongo/runs.js';
import { isLoggedOut } from '../mongo/server-errors.js';
import type { State } from '../mongo/state.js';
import { leaseLost } from './doubt.js';
import { Governor } from './governor.js';
import { acquireLease, LeaseKeeper } from './lease-keeper.js';
import type { RunContext, RunSettings } from './run-context.js';
import { NO_WATCH, Sentinel } from './sentinel.js';
import { signalsFor } from './signals.js';
import { Tally } from './tally.js';
import { TransformThreads } from './transform-threads.js';
import { Activity } from './watchdog.js';

export interface RunFacts {
  /** For the sentinel, which connects for itself. */
  readonly uri: string;
  readonly client: MongoClient;
  readonly db: Db;
  readonly state: State;
  readonly loaded: LoadedMigration;
  readonly settings: RunSettings;
  readonly events: Events;
  /** Stop at the next batch boundary; its reason is a GodwitError (interrupted, stopped). */
  readonly signal: AbortSignal;
  /** The fences of the chunks are not believed. */
  readonly resetsFences?: boolean;
  /** The collections of the plan are about to go. */
  readonly isUnwatched?: boolean;
  /** Told about the sessions of the workers, so that an impatient caller can end them. */
  readonly onSessions?: (sessions: readonly ClientSession[]) => void;
}

type Work = (context: RunContext, sessions: readonly ClientSession[]) => Promise<void>;

/** Ends what an error left open, such as a commit that was refused; false when the server can't be asked. */
const ended = (client: MongoClient, sessions: readonly ClientSession[]): Promise<boolean> =>
  killSessions(client, sessions.map(sessionId)).then(
    () => true,
    () => false,
  );

/**
 * Takes the run's lease, does the work, gives the lease back. Once more when the server had forgotten the user of these
 * connections and knows the one of new ones.
 *
 * @param limit changes that may be made
 * @returns the run as it is afterwards
 * @throws GodwitError GODWIT_LEASE_HELD, GODWIT_LEASE_LOST, and what the work threw
 */
export async function withLease(facts: RunFacts, run: RunDocument, limit: number, work: Work): Promise<RunDocument> {
  try {
    return await holdLease(facts, run, limit, work);
  } catch (error) {
    // What a canary may change was counted by the first try.
    if (!isLoggedOut(error) || Number.isFinite(limit)) throw error;
    facts.events.emit('run:note', { run: run._id, note: 'the user was made again; going on with a new login' });
    return holdLease(facts, run, limit, work);
  }
}

async function holdLease(facts: RunFacts, run: RunDocument, limit: number, work: Work): Promise<RunDocument> {
  const sessions = Array.from({ length: facts.settings.mostWorkers }, () => facts.client.startSession());
  facts.onSessions?.(sessions);
  const { leaseMs, outageMs } = facts.settings;
  const leaseFacts = { ...facts, leaseMs, outageMs, sessions };
  try {
    const taken = await acquireLease(leaseFacts, run, facts.signal);
    const lost = new AbortController();
    const keeper = new LeaseKeeper(leaseFacts, taken, (error) => lost.abort(error));
    const { client, db, state, settings, events, loaded } = facts;
    const tally = new Tally(taken.counters, settings.maxFailures, limit);
    const signal = AbortSignal.any([facts.signal, lost.signal]);
    setMaxListeners(0, signal);
    const sentinel = Sentinel.start(facts.uri, sessions);
    const note = (text: string): void => {
      events.emit('run:note', { run: taken._id, note: text });
    };
    const governor = new Governor({
      state,
      run: taken._id,
      fence: keeper.fence,
      signal,
      since: taken.lease?.since ?? new Date(0),
      maxRate: settings.maxRate,
      workers: settings.workers,
      signals: signalsFor(client, settings.throttle, settings.window, (error) => lost.abort(error)),
      maxCommitMs: settings.throttle.maxCommitMs,
      stop: (error) => lost.abort(error),
      note,
    });
    const threads = new TransformThreads({ ...loaded, timeoutMs: settings.transformTimeoutMs }, settings.workers, note);
    const stopListening = whenPrimaryIsLost(client, () => sentinel?.endHeld());
    let isOpen = true;
    try {
      await work(
        {
          client,
          db,
          state,
          run: taken,
          fence: keeper.fence,
          settings,
          locate: locateIn(loaded),
          tally,
          events,
          signal,
          stop: (error) => lost.abort(error),
          watch: sentinel ?? NO_WATCH,
          threads,
          activity: new Activity(),
          gate: governor,
        },
        sessions,
      );
      isOpen = false;
    } catch (error) {
      isOpen = !(await ended(client, sessions));
      throw error;
    } finally {
      stopListening();
      await threads.close();
      await governor.close();
      sentinel?.close();
      // With the lease the next runner finds the sessions: it is not given back while one may hold documents.
      await keeper.close(!isOpen);
    }
    const now = (await findRun(state, taken._id)) ?? taken;
    // Whoever holds it by now has moved it on: it no longer says what this process left.
    if (now.lease && now.lease.fence !== taken.lease?.fence) throw leaseLost(run.migration);
    return now;
  } finally {
    await Promise.all(sessions.map((session) => session.endSession().catch(() => undefined)));
  }
}
