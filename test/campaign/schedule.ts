/** A schedule: everything that will happen, as plain JSON, before anything starts. docs/guide/campaign.md has the grammar. */
import { FAULT_POINTS, type FaultPoint } from '../../src/engine/fault-points.js';

export const TOPOLOGIES = ['one-node', 'three-node', 'proxy'] as const;
export const ID_KINDS = ['objectId', 'int', 'mixed', 'string', 'object', 'uuid', 'strange'] as const;
export const FIELD_KINDS = ['plain', 'every', 'odd', 'large'] as const;
export const RULES = ['none', 'validator', 'unique'] as const;
export const SHAPES = ['ordinary', 'collated', 'clustered', 'capped', 'view', 'timeseries'] as const;
/** What must be refused, with nothing written. */
const REFUSED_SHAPES: readonly string[] = ['capped', 'view', 'timeseries'];
export const MIGRATIONS = ['set', 'unset', 'rename', 'mark', 'whole'] as const;
export const LOADS = ['none', 'edits', 'inserts', 'saves', 'transactions', 'hot', 'all'] as const;
export const ENDINGS = ['complete', 'rollback', 'rollback-killed', 'run-rollback-run', 'abandon'] as const;

export type Topology = (typeof TOPOLOGIES)[number];
export type Shape = (typeof SHAPES)[number];
export type IdKind = (typeof ID_KINDS)[number];
export type FieldKind = (typeof FIELD_KINDS)[number];
export type Rule = (typeof RULES)[number];
export type MigrationKind = (typeof MIGRATIONS)[number];
export type LoadKind = (typeof LOADS)[number];
export type Ending = (typeof ENDINGS)[number];

/** The n-th time that a process comes by a point. */
export interface Moment {
  readonly point: FaultPoint;
  readonly hit: number;
}

/** Each fault is one start of the runner, and what happens to it. */
export type Fault =
  | { readonly kind: 'kill'; readonly at: Moment; readonly sentinelToo: boolean }
  | { readonly kind: 'kill-time'; readonly ms: number }
  /** Stopped past its lease, then woken: alone, after another has finished, or while another is at work. */
  | {
      readonly kind: 'stop';
      readonly at: Moment;
      readonly second: 'none' | 'whole' | 'held';
      readonly sentinelToo: boolean;
    }
  | { readonly kind: 'signal'; readonly at: Moment; readonly signal: 'SIGINT' | 'SIGTERM'; readonly times: 1 | 2 }
  | { readonly kind: 'throw'; readonly at: Moment }
  | {
      readonly kind: 'fail-command';
      readonly at: Moment;
      readonly command: FailingCommand;
      readonly code: FailingCode;
      readonly times: number;
    }
  /** The commit is there, and its answer says for longer than the runner's patience that this is not sure. */
  | { readonly kind: 'commit-unknown'; readonly at: Moment }
  | { readonly kind: 'restart'; readonly at: Moment }
  | { readonly kind: 'ddl'; readonly at: Moment; readonly what: 'index' | 'validator' | 'recreate' | 'drop' | 'rename' }
  | { readonly kind: 'state'; readonly at: Moment; readonly what: 'fence' | 'cursor' | 'drop-chunks' | 'restore' }
  | { readonly kind: 'second'; readonly delayMs: number }
  /** What is looked up is edited while the runner stands still. */
  | { readonly kind: 'edit'; readonly at: Moment }
  | { readonly kind: 'stepdown'; readonly at: Moment }
  | { readonly kind: 'kill-primary'; readonly at: Moment; readonly downMs: number }
  /** Both secondaries hear nothing for so long. */
  | { readonly kind: 'no-majority'; readonly at: Moment; readonly ms: number }
  | { readonly kind: 'wire'; readonly at: Moment; readonly what: WireTrouble; readonly ms: number }
  | { readonly kind: 'clock'; readonly offsetMs: number }
  /** The n-th call of `up` never returns. */
  | { readonly kind: 'hang'; readonly call: number }
  /** A canary: `--limit`. */
  | { readonly kind: 'limit'; readonly limit: number }
  /** A canary of one document: `--only`. */
  | { readonly kind: 'only'; readonly nth: number }
  /** Paused from another process, and resumed, with another number of workers where one is given. */
  | { readonly kind: 'pause'; readonly delayMs: number; readonly ms: number; readonly workers?: number }
  /** `retry`, where there is a quarantine. */
  | { readonly kind: 'retry' }
  | { readonly kind: 'rollback' };

export type FaultKind = Fault['kind'];

export const WIRE_TROUBLES = ['cut', 'cut in a commit', 'black hole', 'slow'] as const;
export type WireTrouble = (typeof WIRE_TROUBLES)[number];

/** Faults that need the topology; the others are possible on each. */
export const NEEDS: Readonly<Partial<Record<FaultKind, Topology>>> = {
  restart: 'one-node',
  'commit-unknown': 'one-node',
  stepdown: 'three-node',
  'kill-primary': 'three-node',
  'no-majority': 'three-node',
  wire: 'proxy',
};

export const FAILING_CODES = [112, 251, 246, 24, 365, 388, 50, 11601, 11602, 189, 91, 13, 'close'] as const;
export type FailingCode = (typeof FAILING_CODES)[number];
export const FAILING_COMMANDS = [
  'find',
  'insert',
  'update',
  'commitTransaction',
  'abortTransaction',
  'getMore',
] as const;
export type FailingCommand = (typeof FAILING_COMMANDS)[number];

export interface Schedule {
  readonly seed: number;
  readonly topology: Topology;
  readonly collection: {
    readonly docs: number;
    readonly ids: IdKind;
    readonly fields: FieldKind;
    readonly rule: Rule;
    readonly shape: Shape;
  };
  readonly migration: {
    readonly kind: MigrationKind;
    readonly down: boolean;
    readonly lookup: boolean;
    /** The same as a pipeline inside the server. */
    readonly isPipeline?: boolean;
    /** A millisecond for each document: `up` runs in threads, once that is measured. */
    readonly isHeavy?: boolean;
    /** Two steps, which the engine takes as one. */
    readonly isSeries?: boolean;
    /** Two steps of which the second looks up what the first has changed. */
    readonly isChain?: boolean;
    /** Documents on which `up` throws, in percent. */
    readonly badPercent: number;
  };
  readonly settings: {
    readonly batchSize: number;
    readonly workers: number;
    readonly leaseMs: number;
    readonly maxFailures: number;
  };
  readonly load: {
    readonly kind: LoadKind;
    readonly writes: number;
    readonly w: 'majority' | 1;
    /** Of the collection that is looked up, besides. */
    readonly teamWrites?: number;
  };
  readonly faults: readonly Fault[];
  readonly ending: Ending;
}

export const FORWARD_POINTS = FAULT_POINTS.filter((point) => !point.startsWith('rollback:'));
export const ROLLBACK_POINTS = FAULT_POINTS.filter((point) => point.startsWith('rollback:'));

export const momentOf = (fault: Fault): Moment | undefined => ('at' in fault ? fault.at : undefined);

export const isOfRollback = (fault: Fault): boolean => momentOf(fault)?.point.startsWith('rollback:') === true;

export const isRefused = ({ collection }: Schedule): boolean => REFUSED_SHAPES.includes(collection.shape);

/** Faults after which the run can't go on: the schedule ends with a look at what is left. */
export const isFinal = (fault: Fault): boolean =>
  (fault.kind === 'ddl' && (fault.what === 'drop' || fault.what === 'recreate')) ||
  (fault.kind === 'state' && fault.what === 'drop-chunks');

/** The state comes back from a backup: what it knew since is lost, and the run is planned anew. */
export const isRestore = (fault: Fault | undefined): boolean => fault?.kind === 'state' && fault.what === 'restore';

export const has = (schedule: Schedule, ...kinds: readonly FaultKind[]): boolean =>
  schedule.faults.some(({ kind }) => kinds.includes(kind));

/** A fault in a few words: for the timeline and the coverage. */
export function actionOf(fault: Fault): string {
  switch (fault.kind) {
    case 'stop':
      return `stop, second ${fault.second}`;
    case 'signal':
      return `${fault.signal} ${fault.times === 2 ? 'twice' : 'once'}`;
    case 'fail-command':
      return `${fault.command} fails with ${fault.code}`;
    case 'ddl':
      return `ddl ${fault.what}`;
    case 'state':
      return `state ${fault.what}`;
    case 'wire':
      return `wire: ${fault.what}`;
    case 'clock':
      return `clock ${fault.offsetMs > 0 ? 'ahead' : 'behind'}`;
    default:
      return fault.kind;
  }
}
