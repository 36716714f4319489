/**
 * A whole run forwards: take the lease, move the chunks, look at everything once more, complete.
 *
 * Invariant: the state in the database is never ahead of what was committed. Killed anywhere, the next `run` finds the
 * lease of a dead holder, ends its sessions, and goes on from the cursors; nothing has to be cleaned by hand.
 */
import type { ClientSession } from 'mongodb';
import { type Chunk, sumOfCounters } from '../domain/chunk.js';
import { isSpent, type RunDocument } from '../domain/run.js';
import type { ScriptPart } from '../domain/script-step.js';
import { GodwitError } from '../errors.js';
import { listChunks } from '../mongo/chunks.js';
import { readTopology } from '../mongo/connect.js';
import { quarantinedKeys } from '../mongo/failures.js';
import { dropRows } from '../mongo/id-map-writes.js';
import { retireRun } from '../mongo/runs.js';
import { readReplicaSetId } from '../mongo/server-facts.js';
import { requireTarget } from '../mongo/target.js';
import { CatchUp } from './catch-up.js';
import { looksUpUntold } from './dependants.js';
import { leaseLost, requireAudit } from './doubt.js';
import { drainUntilQuiet, follow } from './drain.js';
import { faultPoint } from './fault-points.js';
import { throughGate } from './gate.js';
import { targetReplaced } from './lease-keeper.js';
import { patiently } from './patiently.js';
import { Recorder } from './recorder.js';
import { rollbackUnderWay } from './refusals.js';
import { retryStep } from './retry-step.js';
import { mayGoOn, runChunk } from './run-chunk.js';
import type { RunContext, StepContext } from './run-context.js';
import { runOnly } from './run-only.js';
import { SchemaWork } from './schema-work.js';
import { runScript } from './script.js';
import { settleStrays } from './settle-strays.js';
import { watchOver } from './watchdog.js';
import { type RunFacts, withLease } from './with-lease.js';
import { type Sharing, shareOut } from './workers.js';

export interface ForwardOptions {
  /** Changes to make at most (a canary). */
  readonly limit?: number;
  /** Only these documents (a canary). */
  readonly only?: readonly unknown[];
  /** Keep catching up with the application until stopped. */
  readonly follow?: boolean;
  /** The documents in quarantine, and then as usual. */
  readonly retry?: boolean;
}

/** Carries a planned or stopped run on; returns its document as it is at the end. */
export function carryOn(facts: RunFacts, planned: RunDocument, options: ForwardOptions): Promise<RunDocument> {
  return withLease(facts, planned, options.limit ?? Number.POSITIVE_INFINITY, async (context, sessions) => {
    // What was looked at before may have changed until the lease was taken.
    if (context.run.direction === 'down') throw rollbackUnderWay(context.run);
    if (context.run.state === 'completed' && !options.retry) return;
    const recorder = new Recorder(context, 'up');
    await new Forward(facts, context, sessions, recorder, options)
      .work()
      .catch(async (error: unknown) => recorder.settle((await otherServer(context)) ?? error));
  });
}

/**
 * Why nothing is as it was: another replica set answers at this address, or none at all; null when it is the same, or
 * cannot be told.
 */
async function otherServer({ client, run }: RunContext): Promise<GodwitError | null> {
  const topology = await readTopology(client);
  if (topology !== null && topology !== 'replica-set')
    return new GodwitError(
      'GODWIT_OTHER_SERVER',
      `wanted the replica set that ${run.migration} began on, found ${topology === 'sharded' ? 'a mongos' : 'a standalone server'} by now`,
      {
        next: [
          'start it with the --replSet that it had: a standalone may show its data as it was minutes ago',
          `godwit run ${run.migration}   goes on then`,
        ],
      },
    );
  const began = run.server.replicaSetId;
  const now = began === null ? null : await readReplicaSetId(client);
  if (began === null || now === null || now === began) return null;
  return new GodwitError(
    'GODWIT_OTHER_SERVER',
    `wanted the replica set that ${run.migration} began on, found another`,
    {
      next: ['check the address in MONGODB_URI, and which data the server was started with', 'godwit list'],
    },
  );
}

/** Takes a run that is spent out of the way of the next one, unless somebody works on it. */
export async function retire(facts: RunFacts, run: RunDocument): Promise<void> {
  await withLease(facts, run, 0, async (context) => {
    if (!isSpent(context.run.state)) return;
    if (!(await retireRun(context.state, run._id, context.fence))) throw leaseLost(run.migration);
    if (run.steps.some(({ sources }) => sources)) await dropRows(context.state, run._id);
  });
}

/** The chunks of the run as they stand. @throws GodwitError GODWIT_STATE_LOST when some are gone */
export async function requireChunks(context: RunContext): Promise<Chunk[]> {
  const chunks = await listChunks(context.state, context.run._id);
  const planned = context.run.steps.reduce((sum, step) => sum + step.chunks, 0);
  const found = chunks.filter(({ kind }) => kind === 'range').length;
  if (found !== planned)
    throw new GodwitError('GODWIT_STATE_LOST', `wanted the ${planned} chunks of the plan, found ${found}`, {
      next: ['restore the state collections from a backup', `godwit verify ${context.run.migration}`],
    });
  return chunks;
}

/** The step's place in the plan, with its collection, which must still be the planned one. */
export async function stepContext(facts: RunFacts, context: RunContext, index: number): Promise<StepContext> {
  const step = facts.loaded.units[index];
  const planned = context.run.steps[index];
  if (!step || !planned)
    throw new GodwitError('GODWIT_CHECKSUM', `wanted step ${index + 1} of the plan in the migration, found none`);
  const target = await requireTarget(context.db, step.collection);
  if (target.uuid !== planned.uuid)
    throw targetReplaced(`${context.db.databaseName}.${step.collection}`, context.run.migration, false);
  const sources = new Map((planned.sources ?? []).map((from) => [from.collection, { db: context.db, ...from }]));
  return {
    ...context,
    step,
    stepIndex: index,
    uuid: planned.uuid,
    sources,
    target: context.db.collection(step.collection),
    isCollated: target.collation !== null,
  };
}

class Forward {
  readonly #schema: SchemaWork;

  constructor(
    private readonly facts: RunFacts,
    private readonly context: RunContext,
    private readonly sessions: readonly ClientSession[],
    private readonly recorder: Recorder,
    private readonly options: ForwardOptions,
  ) {
    this.#schema = new SchemaWork(facts, context);
  }

  async work(): Promise<void> {
    const { context, recorder } = this;
    await recorder.noteDeadRunner();
    await recorder.go('running', this.#reason());
    context.gate.begin((reasons) => recorder.rest(reasons));
    const chunks = await patiently(context, () => requireChunks(context));
    // The counters of a run are those of its chunks; the ones in the run's document are a copy for people.
    context.tally.counters = sumOfCounters(chunks);
    await patiently(context, () => requireAudit(context, chunks));
    context.tally.batches = chunks.reduce((sum, chunk) => sum + chunk.seq, 0);
    const steps: StepContext[] = [];
    for (const index of context.run.steps.keys())
      steps.push(await patiently(context, () => stepContext(this.facts, context, index)));
    const catchUp = CatchUp.start(context, steps, 'stream');
    try {
      await this.#forward(steps, chunks, catchUp);
    } finally {
      await catchUp.close();
    }
  }

  async #forward(steps: readonly StepContext[], chunks: readonly Chunk[], catchUp: CatchUp): Promise<void> {
    const { context, recorder } = this;
    const [session] = this.sessions;
    if (this.options.retry && session) for (const step of steps) await retryStep(step, session, catchUp);
    for (const step of steps) {
      if (!mayGoOn(context)) break;
      await this.#change(step.stepIndex);
      if (step.step.kind === 'script') await this.#runScript(steps, step, step.step, chunks);
      else await this.#runStep(step, chunks, catchUp);
    }
    if (this.options.only) return recorder.end('stopped', 'the documents asked for are done');
    if (await this.#rested()) return;
    await this.#finish(steps, catchUp);
  }

  /** The schema steps at this place: a pause holds them, too. */
  async #change(at: number): Promise<void> {
    if (!this.#schema.isOpen(at)) return;
    await throughGate(
      this.context,
      1,
      () => this.#schema.forwards(at),
      () => [0],
    );
  }

  #reason(): string {
    if (this.options.retry) return 'the documents in quarantine are taken up again';
    return this.context.run.state === 'planned' ? 'the first batch may be read' : 'resumed';
  }

  /** At the place of its first collection. With documents in quarantine it is run once more: it meets them again. */
  async #runScript(
    steps: readonly StepContext[],
    { stepIndex }: StepContext,
    part: ScriptPart,
    chunks: readonly Chunk[],
  ): Promise<void> {
    const [session] = this.sessions;
    const marker = chunks.find(({ step, kind }) => step === stepIndex && kind === 'range');
    if (!part.leads || !session) return;
    const own = steps.filter(({ step }) => step.kind === 'script' && step.script === part.script);
    if (marker?.state === 'done' && !(this.options.retry && (await this.#hasQuarantined(own)))) return;
    await watchOver(this.context, () => runScript(own, part, marker, session));
  }

  async #hasQuarantined(steps: readonly StepContext[]): Promise<boolean> {
    const { context } = this;
    for (const { stepIndex } of steps)
      if ((await patiently(context, () => quarantinedKeys(context.state, context.run._id, stepIndex))).size > 0)
        return true;
    return false;
  }

  async #runStep(step: StepContext, chunks: readonly Chunk[], catchUp: CatchUp): Promise<void> {
    const [session] = this.sessions;
    if (this.options.only && session) return runOnly(step, chunks, this.options.only, { session, catchUp });
    const open = chunks.filter(
      (chunk) => chunk.step === step.stepIndex && chunk.kind === 'range' && chunk.state === 'open',
    );
    const store = (): void => this.recorder.storeNowAndThen();
    step.events.on('run:batch', store);
    try {
      const work: Sharing<Chunk>['work'] = async (chunk, own, signal, mayWork) => {
        const after = await runChunk({ ...step, signal }, { ...chunk, fence: step.fence }, own, mayWork);
        return after.state === 'open' && mayGoOn({ ...step, signal }) ? after : undefined;
      };
      await watchOver(step, () => shareOut(open, { ...step, sessions: this.sessions, work }));
    } finally {
      step.events.off('run:batch', store);
      await this.recorder.idle();
    }
  }

  /** True when the run came to rest before its end: over its budget, or at its limit. A stop throws its reason. */
  async #rested(): Promise<boolean> {
    const { tally, signal } = this.context;
    if (signal.aborted) throw signal.reason;
    if (tally.isOverBudget) {
      const because = `documents failed: ${tally.counters.failed}, allowed: ${this.facts.settings.maxFailures}`;
      await this.recorder.end('failed', because);
      return true;
    }
    if (tally.isAtLimit) await this.recorder.end('stopped', `at the limit of ${this.options.limit} changed documents`);
    return tally.isAtLimit;
  }

  /** What the application wrote meanwhile, then a look at everything; the run is complete when nothing is left. */
  async #finish(steps: readonly StepContext[], catchUp: CatchUp): Promise<void> {
    const [session] = this.sessions;
    if (!session) return;
    await this.recorder.store();
    // Through the gate: a run that has come to rest is in a state from which this is no step.
    await throughGate(
      this.context,
      1,
      () => this.recorder.go('catching-up', 'all chunks are done'),
      () => [0],
    );
    const isExact = await drainUntilQuiet(catchUp, steps, session);
    if (this.options.follow && isExact) await follow(catchUp, steps, session);
    if (await this.#rested()) return;
    await this.recorder.go('verifying', 'what the application wrote meanwhile is through');
    // What a merge has come to know of late, others may refer to.
    const hasMerge = steps.some(({ step }) => step.kind === 'merge');
    const isUntold = await patiently(this.context, () => looksUpUntold(steps));
    const isFull = !isExact || catchUp.hasUnknownDependants || hasMerge || isUntold;
    for (const step of steps)
      await settleStrays(step, session, { isExact, isFull: isFull && Object.keys(step.step.lookup).length > 0 });
    if (isExact) await drainUntilQuiet(catchUp, steps, session);
    if (await this.#rested()) return;
    await this.#change(steps.length);
    // Dropped since its last batch, it would not be missed before a rollback.
    await patiently(this.context, async () => requireAudit(this.context, await requireChunks(this.context)));
    await faultPoint('verify:before-verdict');
    await this.recorder.end('completed', 'nothing is left to change');
  }
}
