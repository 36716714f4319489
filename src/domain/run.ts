/**
 * A run: one migration going forward once, and back again if need be. Its document in `migrations` holds the frozen
 * plan, the state with its history, the counters and the lease. A state is only ever changed along an edge of EDGES.
 */
import type { Binary, Timestamp } from 'bson';
import { type Edge, findEdge } from '../kernel/state-machine.js';
import type { Counters, Cursor, UndoConflict, UndoCounters } from './chunk.js';
import type { Control, SignalOff, Stall, Throttle } from './control.js';
import type { Lease } from './lease.js';
import type { Newcomers } from './newcomers.js';
import type { PhaseTable } from './phases.js';
import type { SchemaOperation } from './schema-operation.js';
import type { Unit } from './series-step.js';

export const RUN_STATES = [
  'planned',
  'running',
  'paused',
  'throttled',
  'catching-up',
  'verifying',
  'completed',
  'stopped',
  'interrupted',
  'failed',
  'rolling-back',
  'rolled-back',
  'restored',
] as const;

export type RunState = (typeof RUN_STATES)[number];

/** States of a run that the next one may take the place of. */
export function isSpent(state: RunState): boolean {
  return state === 'rolled-back' || state === 'restored';
}

export const EDGES: readonly Edge<RunState>[] = [
  { from: 'planned', to: 'running', reason: 'the first batch may be read' },
  { from: 'running', to: 'paused', reason: 'paused on request' },
  { from: 'running', to: 'throttled', reason: 'a signal forbids the next batch' },
  ...(['paused', 'throttled'] as const).flatMap((from) => [
    { from, to: 'running', reason: 'nothing forbids the next batch any more' } as const,
    { from, to: 'stopped', reason: 'stopped on request' } as const,
    { from, to: 'interrupted', reason: 'Ctrl-C, or a runner that died' } as const,
    { from, to: 'failed', reason: 'an error' } as const,
    { from, to: 'rolling-back', reason: 'rollback asked for' } as const,
  ]),
  { from: 'running', to: 'catching-up', reason: 'all chunks are done' },
  { from: 'catching-up', to: 'verifying', reason: 'what the application wrote meanwhile is through' },
  { from: 'catching-up', to: 'stopped', reason: 'stopped on request or at its limit' },
  { from: 'catching-up', to: 'interrupted', reason: 'Ctrl-C, or a runner that died' },
  { from: 'catching-up', to: 'failed', reason: 'over the failure budget, or an error' },
  { from: 'verifying', to: 'completed', reason: 'nothing is left to change' },
  { from: 'running', to: 'stopped', reason: 'stopped on request or at its limit' },
  { from: 'verifying', to: 'stopped', reason: 'stopped on request' },
  { from: 'rolling-back', to: 'stopped', reason: 'stopped on request' },
  { from: 'running', to: 'interrupted', reason: 'Ctrl-C, or a runner that died' },
  { from: 'verifying', to: 'interrupted', reason: 'Ctrl-C, or a runner that died' },
  { from: 'rolling-back', to: 'interrupted', reason: 'Ctrl-C, or a runner that died' },
  { from: 'running', to: 'failed', reason: 'over the failure budget, or an error' },
  { from: 'verifying', to: 'failed', reason: 'over the failure budget, or an error' },
  { from: 'rolling-back', to: 'failed', reason: 'an error' },
  { from: 'planned', to: 'failed', reason: 'an error before the first batch' },
  { from: 'planned', to: 'interrupted', reason: 'Ctrl-C, or a runner that died' },
  { from: 'planned', to: 'stopped', reason: 'stopped on request' },
  { from: 'stopped', to: 'running', reason: 'resumed' },
  { from: 'interrupted', to: 'running', reason: 'resumed' },
  { from: 'failed', to: 'running', reason: 'resumed' },
  { from: 'completed', to: 'running', reason: 'documents in quarantine are taken up again' },
  { from: 'completed', to: 'rolling-back', reason: 'rollback asked for' },
  { from: 'stopped', to: 'rolling-back', reason: 'rollback asked for' },
  { from: 'interrupted', to: 'rolling-back', reason: 'rollback asked for' },
  { from: 'failed', to: 'rolling-back', reason: 'rollback asked for' },
  { from: 'planned', to: 'rolling-back', reason: 'rollback asked for' },
  { from: 'rolling-back', to: 'rolled-back', reason: 'every audit entry is through' },
  { from: 'rolled-back', to: 'rolling-back', reason: 'conflicts are to be overwritten' },
  ...RUN_STATES.filter((from) => !isSpent(from)).map(
    (from) => ({ from, to: 'restored', reason: 'its collections are others by now' }) as const,
  ),
  { from: 'restored', to: 'rolling-back', reason: 'rollback asked for' },
];

/** True when a run in `from` may go to `to`. */
export const mayGo = (from: RunState, to: RunState): boolean => findEdge(EDGES, from, to) !== undefined;

/** True when the run has looked at everything once, whatever became of it since. */
export const wasCompleted = ({ history }: Pick<RunDocument, 'history'>): boolean =>
  history.some(({ to }) => to === 'completed');

/** States that a living runner holds; found without one, the runner died. */
export const LIVE_STATES: readonly RunState[] = [
  'planned',
  'running',
  'paused',
  'throttled',
  'catching-up',
  'verifying',
  'rolling-back',
];

export const isLive = (state: RunState): boolean => LIVE_STATES.includes(state);

export interface Transition {
  readonly from: RunState | null;
  readonly to: RunState;
  readonly at: Date;
  readonly by: string;
  readonly because: string;
}

/** Who gave the audit of a run up, when, and why. */
export interface Purge {
  readonly by: string;
  readonly because: string;
  readonly at: Date;
}

/** What tells the collections and the server of a run from others of the same names. */
export interface Ground {
  readonly steps: readonly PlannedStep[];
  readonly stateIds: StateIds;
  readonly server: RunDocument['server'];
}

/** UUIDs of state collections, in hex. */
export interface StateIds {
  readonly chunks: string;
  readonly audit: string;
  readonly touched: string;
}

/** One step of the plan, frozen. */
export interface PlannedStep {
  readonly kind: Unit['kind'];
  readonly collection: string;
  /** The collection's UUID, in hex: another collection of the same name is not the one that was planned. */
  readonly uuid: string;
  readonly filtered: boolean;
  /** Collections that a merge reads. */
  readonly sources?: readonly { readonly collection: string; readonly uuid: string }[];
  readonly chunks: number;
  readonly estimate: number;
}

/** How far a schema step is. `there`: the database was so already, and is left so by a rollback. */
export type SchemaState = 'open' | 'begun' | 'done' | 'there' | 'undoing' | 'undone';

/** A schema step of the plan, and what became of it. */
export interface SchemaRecord {
  /** How many steps of documents come before it. */
  readonly at: number;
  readonly kind: SchemaOperation['kind'];
  readonly collection: string;
  /** In words. */
  readonly text: string;
  /** As BSON: it is taken back without the migration's file, too. Missing in runs of older versions. */
  readonly operation?: Binary;
  readonly state: SchemaState;
  /** It was there at some time, whatever became of it since. */
  readonly wasDone?: true;
  /** What was there before, as BSON; null before it was looked at. */
  readonly before: Binary | null;
  /** Why its way back has left something; null when it has not. */
  readonly left: string | null;
}

/** A collection that a step changes, or that a merge reads. */
export type Planned = Pick<PlannedStep, 'collection' | 'uuid'>;

/** Every collection that the plan rests on. */
export const plannedCollections = (steps: readonly PlannedStep[]): Planned[] =>
  steps.flatMap((step) => [step, ...(step.sources ?? [])]);

/** The change stream: where it begins, how far it was read, and whether its history was lost. */
export interface StreamPlace {
  readonly since: Timestamp;
  readonly token: unknown;
  readonly isLost: boolean;
  /** A looked-up document changed in a way that hides who depended on it. Absent: none did. */
  readonly hasUnknownDependants?: boolean;
}

export interface RunDocument {
  readonly _id: string;
  /** Format version of all state documents. */
  readonly godwit: number;
  readonly migration: string;
  /** True for the run that counts for its migration: at most one. */
  readonly current: boolean;
  readonly description: string;
  readonly author: string | null;
  readonly pr: string | null;
  readonly irreversibleBecause: string | null;
  /** Migrations that it builds on; missing in runs of older versions. */
  readonly dependsOn?: readonly string[];
  readonly checksum: string;
  /** Files that the checksum covers, with their own hashes: to say which one was changed. */
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
  readonly direction: 'up' | 'down';
  readonly state: RunState;
  readonly history: readonly Transition[];
  /** Empty while its first schema steps are not done: documents are planned behind them. */
  readonly steps: readonly PlannedStep[];
  /** Missing in runs of older versions. */
  readonly schema?: readonly SchemaRecord[];
  readonly server: { readonly version: string; readonly setName: string; readonly replicaSetId: string | null };
  readonly counters: Counters;
  readonly undo: UndoCounters | null;
  /** What its rollback found without a before image. */
  readonly newcomers: Newcomers | null;
  /** Documents that the application wrote in the new shape while its rollback went on. */
  readonly rewritten: readonly UndoConflict[];
  readonly total: number;
  readonly batches: number;
  readonly conflictsRetried: number;
  /** Where the time of the last process's batches went; null before the first. */
  readonly phases: PhaseTable | null;
  /** What limits it, in one sentence; null where nothing can be said. */
  readonly bottleneck: string | null;
  /** Milliseconds that runners worked on this run, all attempts together. */
  readonly workedMs: number;
  readonly startedAt: Date;
  readonly updatedAt: Date;
  readonly finishedAt: Date | null;
  /** The least `_id` that is not done yet, per unfinished chunk order; null before the first batch and at the end. */
  readonly resumeCursor: Cursor | null;
  /** Its audit was given up: there is no way back any more. */
  readonly purged: Purge | null;
  readonly stateIds: StateIds;
  readonly lease: Lease | null;
  /** What was asked of it while it was under way. */
  readonly control: Control;
  /** Signals that its runner may not look at. */
  readonly signalsOff: readonly SignalOff[];
  /** Why its next batch waits now. */
  readonly throttled: readonly Throttle[];
  /** No batch has been committed for a while; null: batches go through. */
  readonly stalled: Stall | null;
  /** How long batches waited, by reason, in ms; several workers that wait at once count once. */
  readonly throttledMs: Readonly<Record<string, number>>;
  /** How often the lease was taken: the order of the fences. */
  readonly takings: number;
  /** Sessions of every runner that this run has had: their writes are Godwit's own. */
  readonly ownSessions: readonly Binary[];
  readonly stream: StreamPlace;
  /** The same for its rollback; null before that. */
  readonly undoStream: StreamPlace | null;
  readonly ranBy: { readonly user: string; readonly host: string; readonly godwit: string; readonly node: string };
  readonly gitCommit: string | null;
}
