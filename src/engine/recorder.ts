/** Records in the run's document what happens to it: transitions along the table's edges, and figures for people. */
import type { Chunk, Cursor } from '../domain/chunk.js';
import { describeThrottle, PAUSED, type Throttle } from '../domain/control.js';
import { bottleneckOf } from '../domain/phases.js';
import { isLive, type RunDocument, type RunState } from '../domain/run.js';
import type { GodwitError } from '../errors.js';
import { firstOpenChunk } from '../mongo/chunks.js';
import { reconnect } from '../mongo/connect.js';
import { findRun, storeProgress, transition } from '../mongo/runs.js';
import { isLoggedOut, isNetworkError, translateServerError } from '../mongo/server-errors.js';
import { leaseLost } from './doubt.js';
import { faultPoint } from './fault-points.js';
import { whoami } from './owner.js';
import { patiently } from './patiently.js';
import type { RunContext } from './run-context.js';

/** How often the figures are stored for others to see, in ms. */
const STORE_MS = 1_000;

const endOf = (error: GodwitError): RunState =>
  error.code === 'GODWIT_INTERRUPTED' ? 'interrupted' : error.code === 'GODWIT_STOPPED' ? 'stopped' : 'failed';

/** Where a resumed run goes on: the cursor of its first chunk that is not done. Null at either end of the run. */
function resumeCursor(open: Chunk | null): Cursor | null {
  if (!open) return null;
  return open.cursor ?? (open.range && 'lower' in open.range ? { id: open.range.lower } : null);
}

export class Recorder {
  #state: RunState;
  #storedAt = performance.now();
  #conflictsStored = 0;
  #storing: Promise<void> | null = null;
  #turn: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: RunContext,
    private readonly direction: 'up' | 'down',
  ) {
    this.#state = context.run.state;
  }

  get #run(): RunDocument {
    return this.context.run;
  }

  #note(what: string, error: unknown): void {
    this.context.events.emit('run:note', {
      run: this.#run._id,
      note: `${what}: ${translateServerError(error).message}`,
    });
  }

  /** One transition after the other: a run may come to rest just when it ends. */
  go(to: RunState, because: string): Promise<void> {
    return this.#inTurn(() => this.#step(to, because));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #step(to: RunState, because: string): Promise<void> {
    await faultPoint('run:before-transition');
    const { state, fence } = this.context;
    const facts = { by: whoami(), because, direction: this.direction, fence };
    await patiently(this.context, () =>
      transition(state, this.#run, this.#state, to, facts).catch(async (error: unknown) => {
        if (isNetworkError(error)) throw error;
        const now = await findRun(state, this.#run._id);
        if (now?.lease?.fence !== fence) throw leaseLost(this.#run.migration);
        // Its first answer was lost with a primary: it is there.
        if (now.state !== to || now.history.at(-1)?.because !== because) throw error;
      }),
    );
    this.context.events.emit('run:state', { run: this.#run._id, from: this.#state, to, because });
    this.#state = to;
    await faultPoint('run:after-transition');
  }

  /** A living state found without a living holder means that its runner died. */
  async noteDeadRunner(): Promise<void> {
    if (isLive(this.#state) && this.#state !== 'planned') await this.go('interrupted', 'the runner died');
  }

  /** Between two batches of the chunks: waits for these reasons, or goes on (none). */
  rest(reasons: readonly Throttle[]): Promise<void> {
    const isPaused = reasons.some(({ reason }) => reason === PAUSED);
    return this.#inTurn(async () => {
      if (reasons.length > 0 && this.#state === 'running') {
        await this.store();
        await this.#step(isPaused ? 'paused' : 'throttled', reasons.map(describeThrottle).join('; '));
      } else if (reasons.length === 0 && (this.#state === 'paused' || this.#state === 'throttled'))
        await this.#step('running', 'nothing forbids the next batch any more');
    });
  }

  /** Stores the figures and moves to a final or resting state. */
  async end(to: RunState, because: string): Promise<void> {
    await patiently(this.context, () => this.store());
    await this.go(to, because);
  }

  /**
   * Says in the database how it ended, if it can be reached and the run is still ours. A stop that was asked for and
   * recorded is an outcome, not an error; everything else is thrown on.
   */
  async settle(error: unknown): Promise<void> {
    const known = await this.#loggedIn(translateServerError(error));
    if (known.code !== 'GODWIT_LEASE_LOST') {
      try {
        // Once: a server that is away was waited for before.
        await this.store();
        await this.go(endOf(known), known.message);
        if (known.code === 'GODWIT_INTERRUPTED' || known.code === 'GODWIT_STOPPED') return;
      } catch (second) {
        this.#note('the end of the run could not be recorded', second);
      }
    }
    throw known;
  }

  /** After a login that the server has forgotten, a new one; its refusal is what is told then. */
  async #loggedIn(error: GodwitError): Promise<GodwitError> {
    return isLoggedOut(error) ? reconnect(this.context.client).then(() => error, translateServerError) : error;
  }

  /** Called after each batch; stores about once a second, beside the work. */
  storeNowAndThen(): void {
    if (this.#storing || performance.now() - this.#storedAt < STORE_MS) return;
    this.#storing = this.store()
      .catch((error: unknown) => this.#note('progress could not be stored', error))
      .finally(() => {
        this.#storing = null;
      });
  }

  /** Resolves when nothing is being stored any more. */
  async idle(): Promise<void> {
    await this.#storing;
  }

  async store(): Promise<void> {
    const { tally, state } = this.context;
    const now = performance.now();
    const workedMs = now - this.#storedAt;
    const conflictsRetried = tally.conflictsRetried - this.#conflictsStored;
    const phases = tally.phases.table();
    this.#storedAt = now;
    this.#conflictsStored = tally.conflictsRetried;
    await storeProgress(state, this.#run._id, this.context.fence, {
      counters: tally.counters,
      undo: tally.undo,
      batches: tally.batches,
      conflictsRetried,
      resumeCursor: resumeCursor(await firstOpenChunk(state, this.#run._id)),
      workedMs,
      ...(phases ? { phases, bottleneck: bottleneckOf(phases, tally.phases.batches) } : {}),
    });
  }
}
