/** One seed, one schedule. Weights are relative within a line, and renormalised where a draw is impossible. */
import type { FaultPoint } from '../../src/engine/fault-points.js';
import { type Dice, diceFrom } from './dice.js';
import { hasPipeline } from './migration.js';
import {
  type Ending,
  FAILING_CODES,
  FAILING_COMMANDS,
  type Fault,
  type FaultKind,
  type FieldKind,
  FORWARD_POINTS,
  type IdKind,
  isOfRollback,
  isRefused,
  isRestore,
  type LoadKind,
  type MigrationKind,
  type Moment,
  NEEDS,
  ROLLBACK_POINTS,
  type Rule,
  type Schedule,
  type Topology,
  WIRE_TROUBLES,
} from './schedule.js';

/** Restricts the draw, for mutants that ordinary schedules meet rarely, and for schedules that must be quick. */
export interface Focus {
  readonly topologies?: readonly Topology[];
  readonly faults?: readonly FaultKind[];
  readonly ids?: readonly IdKind[];
  readonly fields?: readonly FieldKind[];
  readonly rules?: readonly Rule[];
  readonly migrations?: readonly MigrationKind[];
  readonly loads?: readonly LoadKind[];
  readonly endings?: readonly Ending[];
  /** Share of pipelines where one is possible, 0 to 1. */
  readonly pipelines?: number;
  readonly maxDocs?: number;
  readonly minDocs?: number;
  readonly maxFaults?: number;
  /** Only such as look up what is edited meanwhile, where that is possible. */
  readonly areTeamsEdited?: true;
  /** Only such of these as change what they look up by a step before. */
  readonly areChains?: true;
  /** The edit at a moment of the run comes behind its ranges, in the middle of what is caught up with. */
  readonly areEditsLate?: true;
  /** Changes a fault that was drawn. */
  readonly mend?: (fault: Fault) => Fault;
}

const FAULT_WEIGHTS: Readonly<Record<FaultKind, number>> = {
  kill: 34,
  'kill-time': 8,
  stop: 10,
  signal: 6,
  throw: 5,
  'fail-command': 12,
  'commit-unknown': 0.5,
  restart: 4,
  ddl: 3,
  state: 3,
  second: 5,
  rollback: 3,
  stepdown: 12,
  'kill-primary': 12,
  'no-majority': 6,
  wire: 40,
  clock: 2,
  hang: 2,
  limit: 3,
  only: 3,
  retry: 2,
  pause: 3,
  edit: 0, // drawn behind the others
};

const TOPOLOGY_WEIGHTS = { 'one-node': 80, 'three-node': 16, proxy: 4 };
const DOCS = { few: 5, some: 45, many: 48, huge: 2 };
const ID_WEIGHTS = { objectId: 30, int: 15, mixed: 25, string: 10, object: 8, uuid: 7, strange: 5 };
const FIELD_WEIGHTS = { plain: 58, every: 27, odd: 11, large: 4 };
const RULE_WEIGHTS = { none: 88, validator: 6, unique: 6 };
const SHAPE_WEIGHTS = { ordinary: 85, collated: 8, clustered: 5, capped: 0.7, view: 0.7, timeseries: 0.6 };
const MIGRATION_WEIGHTS = { set: 13, unset: 11, rename: 16, mark: 40, whole: 20 };
const LOAD_WEIGHTS = { none: 30, edits: 25, inserts: 15, saves: 10, transactions: 8, hot: 7, all: 5 };
const ENDING_WEIGHTS = { complete: 45, rollback: 35, 'rollback-killed': 10, 'run-rollback-run': 7, abandon: 3 };

/** Share of the transforms that have a second step. */
const SERIES = 0.2;
/** Share of the transforms that are heavy, where one may be. */
const HEAVY = 0.25;
/** Share of those in which it is edited once more, at a moment of the run. */
const HELD_EDITS = 0.6;
/** Share of the schedules with a lookup that change what they look up by a step before. */
const CHAINS = 0.4;
/** Share of the schedules with a lookup and a load in which what is looked up is edited, too. */
const TEAM_WRITES = 0.7;

function drawDocs(dice: Dice, focus: Focus): number {
  const size = dice.weighted(DOCS);
  const [low, high] = { few: [0, 3], some: [10, 200], many: [200, 3_000], huge: [20_000, 20_000] }[size] as [
    number,
    number,
  ];
  const docs = dice.int(low, high);
  return Math.max(focus.minDocs ?? 0, Math.min(docs, focus.maxDocs ?? docs));
}

/** Documents of up to 15.5 MB. */
const MAX_LARGE = 8;

function drawCollection(dice: Dice, focus: Focus): Schedule['collection'] {
  const fields = dice.weighted(FIELD_WEIGHTS, focus.fields);
  const rule = dice.weighted(RULE_WEIGHTS, focus.rules);
  const ids = dice.weighted(ID_WEIGHTS, focus.ids);
  const shape = dice.weighted(SHAPE_WEIGHTS);
  const docs = drawDocs(dice, focus);
  return {
    docs: fields === 'large' ? Math.min(docs, MAX_LARGE) : docs,
    ids,
    fields,
    // What is refused and why must be told by one reason at a time.
    rule: fields === 'odd' ? 'none' : rule,
    // The server indexes no symbols under a collation.
    shape: shape === 'collated' && (ids === 'mixed' || ids === 'strange') ? 'ordinary' : shape,
  };
}

function drawMigration(dice: Dice, focus: Focus, { rule }: Schedule['collection']): Schedule['migration'] {
  const drawn = dice.weighted(MIGRATION_WEIGHTS, focus.migrations);
  const kind = drawn === 'whole' && rule === 'unique' ? 'set' : drawn;
  return {
    kind,
    down: dice.chance(0.05),
    lookup: dice.chance(focus.areTeamsEdited ? 1 : 0.2) && kind !== 'whole',
    badPercent: dice.chance(0.05) ? dice.int(1, 5) : 0,
  };
}

function drawSettings(dice: Dice, docs: number): Schedule['settings'] {
  const size = dice.weighted({ one: 10, small: 40, large: 50 });
  const failures = dice.weighted({ none: 70, five: 20, all: 10 });
  return {
    // Batches of one of thousands of documents only take time.
    batchSize:
      size === 'one' && docs <= 200
        ? 1
        : size === 'large'
          ? dice.int(50, 500)
          : dice.int(2 + Math.floor(docs / 200), 20),
    workers: dice.chance(0.6) ? 1 : dice.int(2, 4),
    leaseMs: dice.int(500, 3_000),
    maxFailures: failures === 'none' ? 0 : failures === 'five' ? 5 : 100_000,
  };
}

function drawLoad(
  dice: Dice,
  focus: Focus,
  { docs, fields }: Schedule['collection'],
  topology: Topology,
): Schedule['load'] {
  const kind = dice.weighted(LOAD_WEIGHTS, focus.loads);
  // The driver carries no odd document, neither back nor there.
  const isCarried = fields !== 'odd' || !['saves', 'inserts', 'all'].includes(kind);
  const possible = docs === 0 ? 'none' : isCarried ? kind : 'edits';
  // What one member alone has acknowledged, the next primary may not have: MongoDB's own, not a run's.
  const w = dice.chance(0.8) || topology === 'three-node' ? 'majority' : 1;
  return { kind: possible, writes: dice.int(40, 400), w };
}

/** How often a process passes a point at most, where that is not once a batch. */
function mostHits(point: FaultPoint, { batches, workers }: Extent): number {
  if (/^(plan|lease|sessions|verify):/.test(point)) return 1;
  if (point.startsWith('touched:')) return 2;
  if (point.startsWith('run:')) return 4;
  return point.startsWith('chunk:') ? workers : batches;
}

/** What there is to be hit. */
interface Extent {
  readonly topology: Topology;
  readonly batches: number;
  readonly workers: number;
  readonly hasLoad: boolean;
}

function drawMoment(dice: Dice, extent: Extent, points: readonly FaultPoint[]): Moment {
  const isThere = (point: FaultPoint): boolean => extent.hasLoad || !point.startsWith('touched:');
  const point = dice.pick(points.filter(isThere));
  return { point, hit: dice.int(1, Math.max(1, Math.min(6, mostHits(point, extent)))) };
}

/** Faults of the data's shape come in the middle of a batch, where they hurt. */
const BATCH_POINTS = FORWARD_POINTS.filter((point) => point.startsWith('batch:'));

function drawFault(dice: Dice, focus: Focus, extent: Extent): Fault {
  const kind = dice.weighted(FAULT_WEIGHTS, possibleFaults(focus, extent));
  const isBack = dice.chance(0.2);
  const at = drawMoment(dice, extent, isBack ? ROLLBACK_POINTS : FORWARD_POINTS);
  const inBatch = drawMoment(dice, extent, BATCH_POINTS);
  const sentinelToo = dice.chance(0.08);
  switch (kind) {
    case 'kill':
      return { kind, at, sentinelToo };
    case 'kill-time':
      return { kind, ms: dice.int(250, 2_000) };
    case 'stop':
      return { kind, at, second: dice.weighted({ none: 1, whole: 2, held: 2 }), sentinelToo };
    case 'signal':
      return { kind, at, signal: dice.pick(['SIGINT', 'SIGTERM']), times: dice.chance(0.3) ? 2 : 1 };
    case 'throw':
    case 'restart':
      return { kind, at };
    case 'fail-command':
      return {
        kind,
        at,
        command: dice.pick(FAILING_COMMANDS),
        code: dice.pick(FAILING_CODES),
        times: dice.int(1, 5),
      };
    case 'commit-unknown':
      return { kind, at: inBatch };
    case 'ddl':
      return { kind, at: inBatch, what: dice.weighted({ index: 2, validator: 2, recreate: 2, drop: 1, rename: 2 }) };
    case 'state':
      return { kind, at: inBatch, what: dice.weighted({ fence: 3, cursor: 3, 'drop-chunks': 1, restore: 2 }) };
    case 'second':
      return { kind, delayMs: dice.int(0, 600) };
    case 'stepdown':
      return { kind, at };
    case 'kill-primary':
      return { kind, at, downMs: dice.int(0, 4_000) };
    case 'no-majority':
      return { kind, at, ms: dice.int(500, 6_000) };
    case 'wire': {
      const what = dice.pick(WIRE_TROUBLES);
      // Slow: each way. Else until it is whole again.
      return { kind, at, what, ms: what === 'slow' ? dice.int(10, 150) : dice.int(0, 5_000) };
    }
    case 'clock':
      return { kind, offsetMs: dice.pick([-7_200_000, -30_000, 30_000, 3_600_000]) };
    case 'hang':
      return { kind, call: dice.int(1, 40) };
    case 'limit':
      return { kind, limit: dice.int(1, 50) };
    case 'only':
      return { kind, nth: dice.int(0, 3_000) };
    case 'pause':
      return { kind, delayMs: dice.int(300, 1_500), ms: dice.int(0, 1_500), workers: dice.int(1, 4) };
    case 'edit':
      return drawEdit(dice, extent.batches);
    case 'rollback':
    case 'retry':
      return { kind };
  }
}

/** Batches of what was written meanwhile, come by behind those of the ranges. */
const LATE_BATCHES = 2;
/** The first of them, and the last, where an edit has to come between two of them. */
const IN_BETWEEN = [4, 10] as const;

const drawEdit = (dice: Dice, batches: number, isLate = false): Fault => ({
  kind: 'edit',
  at: {
    point: 'batch:before-read',
    hit: isLate ? dice.int(batches + IN_BETWEEN[0], batches + IN_BETWEEN[1]) : dice.int(1, batches + LATE_BATCHES),
  },
});

function possibleFaults({ faults }: Focus, { topology }: Extent): FaultKind[] {
  const kinds = faults ?? (Object.keys(FAULT_WEIGHTS) as FaultKind[]);
  return kinds.filter((kind) => (NEEDS[kind] ?? topology) === topology);
}

function drawFaults(dice: Dice, focus: Focus, extent: Extent): Fault[] {
  const number = dice.weighted({ one: 50, two: 30, more: 20 });
  const count = Math.min(focus.maxFaults ?? 5, number === 'one' ? 1 : number === 'two' ? 2 : dice.int(3, 5));
  return Array.from({ length: count }, () => {
    const fault = drawFault(dice, focus, extent);
    return focus.mend?.(fault) ?? fault;
  });
}

/** The schedule of a seed; the same whatever machine it is drawn on. */
export function drawSchedule(seed: number, focus: Focus = {}): Schedule {
  const dice = diceFrom(seed);
  const topology = dice.weighted(TOPOLOGY_WEIGHTS, focus.topologies ?? (focus.faults ? ['one-node'] : undefined));
  const collection = drawCollection(dice, focus);
  const migration = drawMigration(dice, focus, collection);
  const settings = drawSettings(dice, collection.docs);
  const load = drawLoad(dice, focus, collection, topology);
  const batches = Math.ceil(collection.docs / settings.batchSize);
  const faults = drawFaults(dice, focus, {
    topology,
    batches,
    workers: settings.workers,
    hasLoad: load.kind !== 'none',
  });
  // An application whose collection is away would make another one of that name.
  const isAway = faults.some((fault) => fault.kind === 'ddl' && !['index', 'validator'].includes(fault.what));
  const ending = dice.weighted(ENDING_WEIGHTS, focus.endings);
  const isBack = faults.some((fault) => 'at' in fault && fault.at.point.startsWith('rollback:'));
  const drawn: Schedule = {
    seed,
    topology,
    collection,
    migration,
    settings,
    load: isAway ? { ...load, kind: 'none' } : load,
    faults,
    // A fault of a rollback needs one.
    ending: isBack && !ending.includes('rollback') ? 'rollback' : ending,
  };
  // Drawn last, so that the rest of a seed is what it was before there were pipelines.
  const isPipeline = dice.chance(focus.pipelines ?? 0.3) && mayBePipeline(drawn);
  const isHeavy = dice.chance(HEAVY) && !isPipeline && mayBeHeavy(drawn);
  const isSeries = dice.chance(SERIES) && !isPipeline && !isHeavy;
  const teamWrites = dice.chance(focus.areTeamsEdited ? 1 : TEAM_WRITES) && mayEditTeams(drawn) ? dice.int(1, 12) : 0;
  const isHeld = dice.chance(focus.areChains ? 1 : HELD_EDITS) && teamWrites > 0;
  const edit = drawEdit(dice, batches, focus.areEditsLate);
  // Behind a fault that lets the run end there would be nothing to edit any more.
  const place = dice.chance(0.5) ? 0 : dice.int(0, faults.length);
  const isChain = dice.chance(focus.areChains ? 1 : CHAINS) && !isHeavy && !isSeries && mayBeChain(drawn);
  const whole = {
    ...drawn,
    faults: isHeld ? drawn.faults.toSpliced(place, 0, edit) : drawn.faults,
    load: teamWrites > 0 ? { ...drawn.load, teamWrites } : drawn.load,
    migration: {
      ...migration,
      ...(isPipeline && { isPipeline }),
      ...(isHeavy && { isHeavy }),
      ...(isSeries && { isSeries }),
      ...(isChain && { isChain }),
    },
  };
  if (isRefused(whole)) return asRefused(whole);
  return whole.faults.some(isRestore) ? asRestored(whole) : whole;
}

/** What the restored state does not know has no way back; the rest may befall the run as it likes. */
const asRestored = (schedule: Schedule): Schedule => ({
  ...schedule,
  faults: schedule.faults.filter(
    (fault) => !isOfRollback(fault) && !['rollback', 'ddl', 'hang', 'retry'].includes(fault.kind),
  ),
  ending: 'complete',
});

/** Each sends a third of the documents through again. */
const mayEditTeams = ({ migration, load, collection }: Schedule): boolean =>
  migration.lookup && load.kind !== 'none' && collection.docs <= 1_000;

/** Faults that are bound to one step, or to one collection: what they do to a chain is another question. */
const mayBeChain = ({ migration, faults }: Schedule): boolean =>
  migration.lookup && !faults.some(({ kind }) => ['hang', 'only', 'ddl', 'state'].includes(kind));

/** A pipeline looks nothing up, has no `down`, and does not hang. */
const mayBePipeline = ({ migration, faults }: Schedule): boolean =>
  hasPipeline(migration.kind) && !migration.lookup && !migration.down && !faults.some(({ kind }) => kind === 'hang');

/** Enough batches to be measured, each slow enough; a call that hangs is counted in one thread only. */
const mayBeHeavy = ({ collection, settings, faults }: Schedule): boolean =>
  settings.batchSize >= 60 &&
  collection.docs >= Math.max(500, 4 * settings.batchSize) &&
  collection.docs <= 2_000 &&
  !faults.some(({ kind }) => kind === 'hang');

/** What is refused at once has no moments. */
const asRefused = (schedule: Schedule): Schedule => ({
  ...schedule,
  collection: { ...schedule.collection, docs: 20, ids: 'int', fields: 'plain', rule: 'none' },
  load: { ...schedule.load, kind: 'none' },
  faults: [],
  ending: 'abandon',
});
