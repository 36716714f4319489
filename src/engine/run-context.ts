/** What every part of a run needs: handles, the frozen plan, limits, and who listens. */
import type { ClientSession, Collection, Db, MongoClient } from 'mongodb';
import type { Chunk } from '../domain/chunk.js';
import type { RunDocument } from '../domain/run.js';
import type { Unit } from '../domain/series-step.js';
import type { Window } from '../domain/window.js';
import type { GodwitError } from '../errors.js';
import type { Events } from '../events.js';
import { canonicalsIn } from '../mongo/id-map.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import type { State } from '../mongo/state.js';
import type { CommitPatience } from '../mongo/transaction.js';
import type { Locate } from './apply-transform.js';
import type { Gate } from './gate.js';
import type { Watch } from './sentinel.js';
import type { ThrottleSettings } from './signals.js';
import type { Tally } from './tally.js';
import type { Threads } from './transform-threads.js';
import type { Activity } from './watchdog.js';

export interface RunSettings {
  /** Documents of a batch; of the first one, where it adapts. */
  readonly batchSize: number;
  /** Batches adapt to the time for which they hold documents. */
  readonly isAdaptive: boolean;
  readonly throttle: ThrottleSettings;
  /** When batches may be written; null: at any time. */
  readonly window: Window | null;
  /** From a batch's first write to its commit, in ms: what adaptive batches aim at. */
  readonly targetMs: number;
  /** Documents a second, of all workers together; null: no limit. */
  readonly maxRate: number | null;
  /** Images of one batch, in bytes. */
  readonly maxBatchBytes: number;
  readonly workers: number;
  /** As many may be asked for while the run is under way: each has a session from the beginning. */
  readonly mostWorkers: number;
  readonly leaseMs: number;
  /** How long a server that does not answer is waited for, in ms. */
  readonly outageMs: number;
  /** After how long without a committed batch that is said, in ms. */
  readonly stallMs: number;
  readonly maxFailures: number;
  /** Longest time of one call of up(), in ms. */
  readonly transformTimeoutMs: number;
}

export interface RunContext {
  readonly client: MongoClient;
  readonly db: Db;
  readonly state: State;
  readonly run: RunDocument;
  readonly fence: string;
  readonly settings: RunSettings;
  readonly locate: Locate;
  readonly tally: Tally;
  readonly events: Events;
  /** Where heavy transforms go. */
  readonly threads: Threads;
  /** What the batches under way are at. */
  readonly activity: Activity;
  /** Passed before every batch. */
  readonly gate: Gate;
  /** Told when documents are held: ends the transaction when this process can't any more. */
  readonly watch: Watch;
  /** Stops the run with this error, at the next batch boundary. */
  readonly stop: (error: GodwitError) => void;
  /** Aborted when the run is to stop: at the next batch boundary. */
  readonly signal: AbortSignal;
}

/** A step of the migration with its place in the plan. */
export interface StepContext extends RunContext {
  readonly step: Unit;
  readonly stepIndex: number;
  readonly uuid: string;
  readonly target: Collection;
  /** Collections that a merge reads, by name. */
  readonly sources: ReadonlyMap<string, ReadFrom>;
  /** The collection has an order of texts of its own. */
  readonly isCollated: boolean;
}

export const readFrom = ({ db, state, step, uuid }: StepContext): ReadFrom => ({
  ...{ db, collection: step.collection, uuid },
  canonicals: canonicalsIn(state),
});

/** True when the audit of a batch of this chunk can be found by its first and last `_id`. */
export const isRange = ({ isCollated }: StepContext, { kind }: Chunk): boolean => kind === 'range' && !isCollated;

/** A commit is asked for as long as a server that does not answer is waited for. */
export const commitPatience = (
  { settings, signal, events, run, watch }: RunContext,
  session?: ClientSession,
): CommitPatience => ({
  ms: settings.outageMs,
  signal,
  // The sentinel has a connection of its own: writers must not wait until this one is back.
  onLost: () => session && watch.end(session),
  note: (note) => events.emit('run:note', { run: run._id, note }),
});
