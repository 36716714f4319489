/**
 * Makes a plan and freezes it: the chunks are inserted first, the run last, so that there is either no run or the
 * whole one. Not in one transaction: one that its planner left open would keep the next planner waiting for the
 * server's limit (60 s). Two planners at once are told apart by the unique index on the current run of a migration.
 */

import { randomBytes } from 'node:crypto';
import type { Db, Timestamp } from 'mongodb';
import { BRACKETS, type Chunk, NO_COUNTERS } from '../domain/chunk.js';
import { NO_CONTROL } from '../domain/control.js';
import type { MergeStep } from '../domain/merge-step.js';
import type { PlannedStep, RunDocument, StateIds } from '../domain/run.js';
import type { ScriptPart } from '../domain/script-step.js';
import type { Unit } from '../domain/series-step.js';
import type { Events } from '../events.js';
import type { LoadedMigration } from '../migration/load.js';
import { clusterTime } from '../mongo/changes.js';
import { dropChunks, dropStranded, insertChunks } from '../mongo/chunks.js';
import type { ServerFacts } from '../mongo/connect.js';
import { rangesOf } from '../mongo/id-map.js';
import { dropRows, insertRows, type NewRow } from '../mongo/id-map-writes.js';
import { findCurrentRun, insertRun, storePlan } from '../mongo/runs.js';
import { sampleRanges } from '../mongo/sample-ids.js';
import { readStateIds, STATE_FORMAT, type State } from '../mongo/state.js';
import { requireTarget } from '../mongo/target.js';
import { leaseLost } from './doubt.js';
import { faultPoint } from './fault-points.js';
import type { Author } from './map-sources.js';
import { planMerge } from './merge-plan.js';
import { rangeChunks, singleChunks } from './new-chunks.js';
import { currentOwner, whoami } from './owner.js';
import { newRecords } from './schema-records.js';

/** Documents in a chunk, about: small enough to spread over workers, large enough that a chunk outlives its set-up. */
const CHUNK_DOCUMENTS = 10_000;
const MAX_CHUNKS = 4_096;
/** How long an exact count of a filter may take before the estimate has to do, in ms. */
const COUNT_MS = 5_000;

export interface PlanFacts {
  readonly db: Db;
  readonly state: State;
  readonly server: ServerFacts;
  readonly replicaSetId: string | null;
  readonly gitCommit: string | null;
  readonly godwitVersion: string;
  readonly workers: number;
  readonly events: Events;
  readonly loaded: LoadedMigration;
  /** How the author's functions are called. */
  readonly author: Author;
  readonly signal: AbortSignal;
}

/** How many chunks a collection of this size is cut into. */
export function chunkCount(documents: number, workers: number): number {
  if (documents < 1_000) return 1;
  return Math.min(MAX_CHUNKS, Math.max(workers, Math.ceil(documents / CHUNK_DOCUMENTS)));
}

async function estimateOf(db: Db, step: Unit): Promise<number> {
  const collection = db.collection(step.collection);
  const all = await collection.estimatedDocumentCount();
  if (!step.filter) return all;
  return collection.countDocuments(step.filter, { maxTimeMS: COUNT_MS }).catch(() => all);
}

interface PlannedChunks {
  readonly planned: PlannedStep;
  readonly chunks: readonly Chunk[];
}

async function planStep(facts: PlanFacts, run: string, index: number, step: Unit): Promise<PlannedChunks> {
  if (step.kind === 'merge') return planMergeStep(facts, run, index, step);
  if (step.kind === 'script') return planScript(facts, run, index, step);
  const target = await requireTarget(facts.db, step.collection);
  const collection = facts.db.collection(step.collection);
  const documents = await collection.estimatedDocumentCount();
  const ranges = await sampleRanges(collection, chunkCount(documents, facts.workers));
  const estimate = await estimateOf(facts.db, step);
  const planned: PlannedStep = {
    kind: step.kind,
    collection: step.collection,
    uuid: target.uuid,
    filtered: step.filter !== undefined,
    chunks: ranges.length,
    estimate,
  };
  const count = Math.round(estimate / ranges.length);
  const counted = ranges.map((range) => ({ range, count }));
  return { planned, chunks: [...singleChunks(run, index), ...rangeChunks(run, index, counted)] };
}

/** A place for what is written to one of its collections; the first has a chunk that says that the script is through. */
async function planScript(
  { db }: PlanFacts,
  run: string,
  index: number,
  { kind, collection, leads }: ScriptPart,
): Promise<PlannedChunks> {
  const { uuid } = await requireTarget(db, collection);
  // How much it will meet of them, only its author knows.
  const estimate = await db.collection(collection).estimatedDocumentCount();
  const marker = leads ? [{ range: { bracket: 'minKey' }, count: 0 }] : [];
  const planned = { kind, collection, uuid, filtered: false, chunks: marker.length, estimate };
  return { planned, chunks: [...singleChunks(run, index), ...rangeChunks(run, index, marker)] };
}

/** Rows of the id map inserted at once. */
const ROWS = 1_000;

/**
 * The groups are written down before the run is: it has the plan that it was frozen with, or is not there. Chunks first:
 * by these the rows of a planner that died are found.
 */
async function planMergeStep(facts: PlanFacts, run: string, index: number, step: MergeStep): Promise<PlannedChunks> {
  const { db, state, workers, author, signal } = facts;
  const of = { run, step: index };
  const plan = await planMerge(step, { db, signal, ...author });
  await insertChunks(state, singleChunks(run, index));
  let rows: NewRow[] = [];
  for (const member of plan.members()) {
    rows.push({ ...member, into: step.collection, planned: true });
    if (rows.length < ROWS) continue;
    await insertRows(state, of, rows);
    rows = [];
  }
  await insertRows(state, of, rows);
  const distance = Math.ceil(plan.groups / chunkCount(plan.groups, workers));
  const ranges = await rangesOf(state, of, BRACKETS, Math.max(1, distance));
  const planned: PlannedStep = {
    kind: step.kind,
    collection: step.collection,
    uuid: plan.into.uuid,
    filtered: false,
    sources: [...plan.sources.values()].map(({ collection, uuid }) => ({ collection, uuid })),
    chunks: ranges.length,
    estimate: plan.groups,
  };
  return { planned, chunks: rangeChunks(run, index, ranges) };
}

function newRun(
  id: string,
  steps: readonly PlannedStep[],
  facts: PlanFacts,
  since: Timestamp,
  stateIds: StateIds,
): RunDocument {
  const { loaded } = facts;
  const { migration } = loaded;
  const owner = currentOwner();
  // The server's, once it is stored.
  const now = new Date();
  return {
    _id: id,
    godwit: STATE_FORMAT,
    migration: loaded.id,
    current: true,
    description: migration.description,
    author: migration.author ?? null,
    pr: migration.pr ?? null,
    irreversibleBecause: migration.irreversibleBecause ?? null,
    dependsOn: migration.dependsOn ?? [],
    checksum: loaded.checksum,
    files: loaded.files,
    direction: 'up',
    state: 'planned',
    history: [{ from: null, to: 'planned', at: now, by: whoami(), because: 'run asked for' }],
    steps,
    schema: newRecords(facts),
    server: { version: facts.server.version, setName: facts.server.setName ?? '', replicaSetId: facts.replicaSetId },
    counters: NO_COUNTERS,
    undo: null,
    newcomers: null,
    rewritten: [],
    total: totalOf(steps),
    batches: 0,
    conflictsRetried: 0,
    phases: null,
    bottleneck: null,
    control: NO_CONTROL,
    throttled: [],
    signalsOff: [],
    stalled: null,
    throttledMs: {},
    workedMs: 0,
    startedAt: now,
    updatedAt: now,
    finishedAt: null,
    resumeCursor: null,
    purged: null,
    stateIds,
    lease: null,
    takings: 0,
    ownSessions: [],
    stream: { since, token: null, isLost: false },
    undoStream: null,
    ranBy: { user: owner.user, host: owner.host, godwit: facts.godwitVersion, node: process.version },
    gitCommit: facts.gitCommit,
  };
}

const totalOf = (steps: readonly PlannedStep[]): number => steps.reduce((sum, { estimate }) => sum + estimate, 0);

/** True while documents cannot be planned yet: the first schema steps come before them. */
export const isUnplanned = ({ units }: LoadedMigration, { steps }: Pick<RunDocument, 'steps'>): boolean =>
  units.length > 0 && steps.length === 0;

/** Plans the migration; returns the frozen run, which may be the one that another process froze in the same moment. */
export async function planRun(facts: PlanFacts): Promise<RunDocument> {
  const { loaded } = facts;
  const id = `r-${randomBytes(6).toString('hex')}`;
  // The change stream begins here, before the first look at the data.
  const since = await clusterTime(facts.db);
  const planned: PlannedChunks[] = [];
  if (!loaded.schema.some(({ at }) => at === 0))
    for (const [index, step] of loaded.units.entries()) planned.push(await planStep(facts, id, index, step));
  const run = newRun(
    id,
    planned.map((step) => step.planned),
    facts,
    since,
    await readStateIds(facts.state),
  );
  return freeze(
    facts,
    run,
    planned.flatMap(({ chunks }) => chunks),
  );
}

/**
 * Plans the documents of a run whose first schema steps are done, under its lease: the chunks first, the run's steps
 * last. What an earlier planner left is dropped.
 */
export async function planDocuments(facts: PlanFacts, run: RunDocument, fence: string): Promise<void> {
  const { state, loaded } = facts;
  const since = await clusterTime(facts.db);
  await dropChunks(state, run._id);
  if (loaded.units.some(({ kind }) => kind === 'merge')) await dropRows(state, run._id);
  const planned: PlannedChunks[] = [];
  for (const [index, step] of loaded.units.entries()) planned.push(await planStep(facts, run._id, index, step));
  await insertChunks(
    state,
    planned.flatMap(({ chunks }) => chunks),
  );
  await faultPoint('plan:before-freeze');
  const steps = planned.map((step) => step.planned);
  const plan = { steps, total: totalOf(steps), stream: { since, token: null, isLost: false } };
  if (!(await storePlan(state, run._id, fence, plan))) throw leaseLost(run.migration);
}

async function freeze({ state, events }: PlanFacts, run: RunDocument, chunks: readonly Chunk[]): Promise<RunDocument> {
  await insertChunks(state, chunks);
  await faultPoint('plan:before-freeze');
  try {
    await insertRun(state, run);
  } catch (error) {
    const frozen = await findCurrentRun(state, run.migration);
    // Nobody knows whether it will be there: a run without its chunks would be worse than chunks without a run.
    if (!frozen) throw error;
    // Another planner was first: this run can never be current.
    if (frozen._id !== run._id) {
      await dropChunks(state, run._id);
      await dropRows(state, run._id);
    }
    return frozen;
  }
  await faultPoint('plan:after-freeze');
  for (const lost of await dropStranded(state))
    events.emit('run:note', {
      run: run._id,
      note: `the audit of ${lost} is there, and no run of that name: what it changed stays changed, and no rollback of this run brings it back`,
    });
  return run;
}
