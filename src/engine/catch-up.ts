/**
 * Documents that the application writes while a run goes on. The stream is opened before the first read and read while
 * the chunks run; what was touched is stored before the stream's token moves, so that nothing is lost when the runner
 * dies in between (an event that comes twice changes nothing). After the chunks the touched documents go through the
 * same pipeline as all others.
 */
import type { GodwitError } from '../errors.js';
import { pause } from '../kernel/retry.js';
import { type ChangeEvent, Changes, clusterTime, HistoryLost } from '../mongo/changes.js';
import { holdsLease } from '../mongo/leases.js';
import { classifyBatchError, isLoggedOut, translateServerError } from '../mongo/server-errors.js';
import { touchedId } from '../mongo/state.js';
import { findTarget } from '../mongo/target.js';
import {
  listTouched,
  type Stream,
  type StreamFact,
  settleTouched,
  storeStreamFact,
  storeToken,
  storeTouched,
  type Touch,
} from '../mongo/touched.js';
import type { Written } from './assign-sources.js';
import { dependantsOf, lookedUpCollections, readersOf } from './dependants.js';
import { leaseLost } from './doubt.js';
import { faultPoint } from './fault-points.js';
import { targetReplaced } from './lease-keeper.js';
import { patiently } from './patiently.js';
import type { RunContext, StepContext } from './run-context.js';

/** How often the stream's place is stored when nothing happens, in ms. */
const TOKEN_MS = 5_000;
/** How long the stream may take to arrive at a moment, in ms. */
const ARRIVE_MS = 120_000;
/** Before a stream that broke off is opened again, in ms. */
const REOPEN_MS = 250;

export class CatchUp {
  /** Why the stream cannot tell what was touched; null while it can. */
  lostBecause: string | null = null;
  /** True when a looked-up document changed in a way that hides who depended on it. */
  hasUnknownDependants = false;
  readonly #changes: Changes;
  #upTo = 0n;
  #isClosed = false;
  #tokenAt = performance.now();
  /** Everything before it is stored. */
  #token: unknown;
  #brokenSince: number | null = null;
  /** Facts that are on record. */
  readonly #stored = new Set<StreamFact>();
  #work: Promise<void> = Promise.resolve();

  private constructor(
    private readonly context: RunContext,
    private readonly steps: readonly StepContext[],
    private readonly stream: Stream,
  ) {
    const { db, run } = context;
    const place = run[stream];
    if (!place) throw new RangeError(`a run without ${stream}`);
    const collections = new Set([...steps.map(({ step }) => step.collection), ...lookedUpCollections(steps)]);
    this.#changes = new Changes({
      db,
      collections: [...collections],
      ownSessions: run.ownSessions,
      token: place.token,
      since: place.since,
    });
    this.#token = place.token;
    this.hasUnknownDependants = place.hasUnknownDependants ?? false;
    if (this.hasUnknownDependants) this.#stored.add('hasUnknownDependants');
    if (place.isLost) this.#stored.add('isLost');
    if (place.isLost) this.lostBecause = 'its history was lost earlier in this run';
  }

  /** Stops the run when a target is dropped or renamed. */
  static start(context: RunContext, steps: readonly StepContext[], stream: Stream): CatchUp {
    const catchUp = new CatchUp(context, steps, stream);
    catchUp.#work = catchUp.#read();
    return catchUp;
  }

  async #read(): Promise<void> {
    while (!this.#isClosed && this.lostBecause === null) {
      try {
        await this.#readOnce();
      } catch (error) {
        if (this.#isClosed) return;
        if (isLoggedOut(error)) return this.#end(translateServerError(error));
        if (this.#mayReopen(error)) await this.#reopen();
        else await this.#lose(error);
      }
    }
  }

  async #readOnce(): Promise<void> {
    const { events, token, upTo } = await this.#changes.next();
    const { state, run, fence } = this.context;
    if (events.length > 0) {
      await faultPoint('touched:before-store');
      // Whoever holds it next has sessions that this stream does not know: their writes are not the application's.
      if (!(await holdsLease(state, run._id, fence))) return this.#end(leaseLost(run.migration));
      const touches = await this.#touches(events);
      // Whoever begins again has to be told of it, too: the place stays in front of it.
      if (this.#isClosed || this.lostBecause !== null) return;
      await this.#storeTouches(touches);
      await faultPoint('touched:after-store');
    }
    if (events.length > 0 || performance.now() - this.#tokenAt > TOKEN_MS) {
      await storeToken(state, run._id, fence, this.stream, token);
      this.#tokenAt = performance.now();
    }
    this.#token = token;
    this.#brokenSince = null;
    this.#upTo = upTo;
  }

  #end(error: GodwitError): void {
    this.#isClosed = true;
    this.context.stop(error);
  }

  #mayReopen(error: unknown): boolean {
    if (error instanceof HistoryLost || classifyBatchError(error) !== 'interrupted') return false;
    this.#brokenSince ??= performance.now();
    return performance.now() - this.#brokenSince < this.context.settings.outageMs;
  }

  async #reopen(): Promise<void> {
    await pause(REOPEN_MS, this.context.signal);
    if (!this.#isClosed) await this.#changes.reopen(this.#token);
  }

  async #lose(error: unknown): Promise<void> {
    const { run, events } = this.context;
    this.lostBecause = error instanceof HistoryLost ? error.message : translateServerError(error).message;
    events.emit('run:note', {
      run: run._id,
      note: `the change stream ended (${this.lostBecause}); all documents are checked again at the end`,
    });
    // When this fails as well it is asked for again, before anybody says that the run is at its end.
    await this.#store('isLost').catch(() => undefined);
  }

  async #store(fact: StreamFact): Promise<void> {
    const { state, run, fence } = this.context;
    if (this.#stored.has(fact)) return;
    await storeStreamFact(state, run._id, fence, this.stream, fact);
    this.#stored.add(fact);
  }

  /** The documents that have to be looked at again, step by step. */
  async #touches(events: readonly ChangeEvent[]): Promise<Touch[]> {
    const touches: Touch[] = [];
    for (const event of events) {
      if (event.kind === 'replaced-collection') {
        await this.#noteReplaced(event.collection);
        continue;
      }
      for (const step of this.steps) {
        // A script is not asked again about what the application writes; its rollback is.
        if (step.step.kind === 'script' && this.stream === 'stream') continue;
        const isInsert = event.kind === 'inserted';
        if ((isInsert || event.kind === 'written') && step.step.collection === event.collection)
          touches.push({ step: step.stepIndex, id: event.id, isInsert });
        if (step.sources.has(event.collection))
          touches.push({ step: step.stepIndex, id: event.id, isInsert: false, from: event.collection });
      }
    }
    touches.push(...(await this.#dependants(this.steps, events)));
    return touches;
  }

  async #dependants(steps: readonly StepContext[], events: readonly ChangeEvent[]): Promise<Touch[]> {
    const touches: Touch[] = [];
    for (const step of steps) {
      const { ids, hasUnknown } = await dependantsOf(step, events);
      if (hasUnknown) this.hasUnknownDependants = true;
      for (const id of ids) touches.push({ step: step.stepIndex, id, isInsert: false });
    }
    return touches;
  }

  /**
   * Documents of later steps that look up these ones, which Godwit itself writes: its writes the stream does not tell.
   * Called before them, so that whoever is killed in between knows it, and behind them, since their keys may be others.
   */
  async touchReaders(step: StepContext, ids: readonly unknown[]): Promise<void> {
    const { collection } = step.step;
    const written = ids.map((id): ChangeEvent => ({ kind: 'written', collection, id, paths: [] }));
    const readers = readersOf(step, this.steps);
    await patiently(step, async () => this.#storeTouches(await this.#dependants(readers, written)));
  }

  /** Documents that are taken through out of turn, as if the application had written them: for those that look them up. */
  async touch(step: StepContext, ids: readonly unknown[]): Promise<void> {
    if (readersOf(step, this.steps).length === 0) return;
    const touches = ids.map((id) => ({ step: step.stepIndex, id, isInsert: false }));
    await patiently(step, () => this.#storeTouches(touches));
  }

  /** Before the place moves behind what has told of them. */
  async #storeTouches(touches: readonly Touch[]): Promise<void> {
    await storeTouched(this.context.state, this.context.run._id, touches);
    if (this.hasUnknownDependants) await this.#store('hasUnknownDependants');
  }

  /**
   * A drop or a rename may be long ago: when the planned collection is back, the run goes on, but what was written to
   * it under another name the stream has not told; nor who depended on what was in one that is only read.
   */
  async #noteReplaced(collection: string): Promise<void> {
    const { db, run } = this.context;
    const own = this.steps.filter(({ step }) => collection === '' || step.collection === collection);
    for (const { step, uuid } of own) {
      const target = await findTarget(db, step.collection);
      if (target?.uuid !== uuid)
        return this.#end(targetReplaced(`${db.databaseName}.${step.collection}`, run.migration, target === null));
    }
    await this.#lose(new HistoryLost(`${collection} was away under another name`));
  }

  /** Waits until the stream has seen everything up to now; false when it can't tell any more. */
  async arrive(): Promise<boolean> {
    const { db, state, run, signal } = this.context;
    // What was stored in it is gone with it: the next pass over everything finds what it knew.
    if (this.lostBecause === null && (await patiently(this.context, () => touchedId(state))) !== run.stateIds.touched)
      await this.#lose(new HistoryLost(`${state.touched.collectionName} was dropped`));
    const now = (await patiently(this.context, () => clusterTime(db))).toBigInt();
    const deadline = performance.now() + ARRIVE_MS;
    while (this.lostBecause === null && this.#upTo <= now) {
      if (signal.aborted) throw signal.reason;
      if (performance.now() > deadline)
        await this.#lose(new HistoryLost(`it did not arrive within ${ARRIVE_MS / 1_000} s`));
      // The stream's place moves with the oplog: on an idle server it is this write that moves it.
      await patiently(this.context, () =>
        state.runs.updateOne({ _id: run._id }, { $currentDate: { updatedAt: true } }),
      );
      await pause(20, signal);
    }
    if (this.lostBecause !== null) await patiently(this.context, () => this.#store('isLost'));
    return this.lostBecause === null;
  }

  /**
   * Hands out the touched documents of a step, once each.
   *
   * @param take false when it could not see to all of them, and is to be given no more
   * @returns how many there were
   */
  async drain(step: StepContext, take: (touched: readonly Written[]) => Promise<boolean>): Promise<number> {
    const { state, run, settings } = this.context;
    let after = '';
    let count = 0;
    while (!step.signal.aborted) {
      const entries = await patiently(step, () =>
        listTouched(state, run._id, step.stepIndex, after, settings.batchSize),
      );
      const last = entries.at(-1);
      if (!last) break;
      if (!(await take(entries))) break;
      await patiently(step, () => settleTouched(state, entries));
      count += entries.length;
      after = String(last._id);
    }
    return count;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#changes.close();
    await this.#work;
  }
}
