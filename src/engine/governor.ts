/**
 * Decides when the next batch may begin. Whatever forbids it is a reason with its figures; all of them are shown, and a
 * run waits without an open transaction until none is left. It never ends a run: that is for people.
 */
import type { Control, Pace, Throttle } from '../domain/control.js';
import { describeOff, describeThrottle, MAX_RATE, NO_CONTROL, PAUSED, type SignalOff } from '../domain/control.js';
import { GodwitError } from '../errors.js';
import { pause } from '../kernel/retry.js';
import { answer, readControl, storeSignalsOff, storeThrottles } from '../mongo/control.js';
import { translateServerError } from '../mongo/server-errors.js';
import type { State } from '../mongo/state.js';
import { CommitBrake, RateBrake } from './brakes.js';
import type { Gate, OnRest } from './gate.js';
import { type Reading, type Signal, Watched } from './signals.js';

/** How often requests are read, in ms: obeyed within a batch, 1 s at most. */
const READ_MS = 250;
/** How often the signals are looked at, in ms. */
const SIGNAL_MS = 1_000;
/** How often what is waited for is stored for others to see, in ms. */
const STORE_MS = 1_000;
/** How often a waiting worker looks again, in ms. */
const LOOK_MS = 20;

export interface GovernorFacts {
  readonly state: State;
  readonly run: string;
  readonly fence: string;
  readonly signal: AbortSignal;
  /** Documents a second that the runner was started with; null: no limit. */
  readonly maxRate: number | null;
  /** Workers that the runner was started with. */
  readonly workers: number;
  readonly signals: readonly Signal[];
  /** Median of the last commits, in ms; 0: not looked at. */
  readonly maxCommitMs: number;
  /** Stops the run with this error, at the next batch boundary. */
  readonly stop: (error: GodwitError) => void;
  /** When this runner took the lease: what was asked of an earlier one to stop is done. */
  readonly since: Date;
  readonly note: (text: string) => void;
}

export class Governor implements Gate {
  readonly #reasons = new Map<string, Throttle>();
  /** By reason, since it was last stored. */
  #waitedMs: Record<string, number> = {};
  #countedUntil = 0;
  #storedAt = 0;
  /** Reasons are in the run's document that would have to be taken out. */
  #isShown = false;
  #isBlind = false;
  #control: Control = NO_CONTROL;
  #underway = 0;
  readonly #rate = new RateBrake();
  readonly #commits: CommitBrake;
  #isClosed = false;
  #isResting = false;
  /** Before the first look at the signals nobody knows whether a batch may begin. */
  #hasLooked = false;
  #reading: Promise<void> = Promise.resolve();
  readonly #asking = new AbortController();
  #onRest: OnRest = async () => undefined;

  constructor(private readonly facts: GovernorFacts) {
    this.#commits = new CommitBrake(facts.maxCommitMs);
  }

  begin(onRest: OnRest): void {
    this.#onRest = onRest;
    this.#reading = this.#read();
    // Not waited for at the end: a signal may take its time, and what it says then is of no use.
    void this.#look();
  }

  async #look(): Promise<void> {
    const watched = this.facts.signals.map((signal) => new Watched(signal));
    this.#hasLooked = watched.length === 0;
    for (let isFirst = true; watched.length > 0 && !this.#isClosed && !this.facts.signal.aborted; isFirst = false) {
      await Promise.all(watched.map(async (one) => this.#weigh(one.name, await one.look())));
      if (isFirst) await this.#tellOff(watched);
      this.#hasLooked = true;
      await pause(SIGNAL_MS, this.#asking.signal);
    }
  }

  #weigh(reason: string, reading: Reading): void {
    if (!reading) this.#reasons.delete(reason);
    else this.#reasons.set(reason, { ...reading, reason, since: this.#reasons.get(reason)?.since ?? new Date() });
  }

  async #tellOff(watched: readonly Watched[]): Promise<void> {
    const { state, run, fence, note } = this.facts;
    const off: SignalOff[] = watched.flatMap(({ name, needs }) => (needs === null ? [] : [{ signal: name, needs }]));
    for (const line of describeOff(off)) note(line);
    await storeSignalsOff(state, run, fence, off).catch(() => undefined);
  }

  /** Time that workers wait together is waited once; one of several reasons at once counts for each. */
  #count(from: number): void {
    const now = performance.now();
    const ms = now - Math.max(from, this.#countedUntil);
    this.#countedUntil = now;
    for (const { reason } of this.#active()) this.#waitedMs[reason] = (this.#waitedMs[reason] ?? 0) + ms;
  }

  async enter(limit: number, signal: AbortSignal): Promise<number> {
    while (this.#waits() && !signal.aborted) {
      const from = performance.now();
      await pause(LOOK_MS, signal);
      this.#count(from);
    }
    if (signal.aborted) throw signal.reason;
    this.#underway += 1;
    const { batchSize, maxRate } = this.#pace();
    // A second's worth at most: a batch is not to be waited for longer than that.
    return Math.max(1, Math.min(batchSize ?? limit, maxRate ?? Number.POSITIVE_INFINITY));
  }

  leave(documents: number, commitMs?: number): void {
    this.#underway -= 1;
    if (commitMs !== undefined) this.#commits.add(commitMs);
    this.#rate.spend(documents, this.#pace().maxRate);
  }

  mayWork(worker: number): boolean {
    return worker < (this.#pace().workers ?? this.facts.workers);
  }

  get waitsFor(): readonly string[] {
    return this.#active().map(describeThrottle);
  }

  #pace(): Pace {
    const asked = this.#control.pace;
    return {
      maxRate: asked?.maxRate ?? this.facts.maxRate,
      batchSize: asked?.batchSize ?? null,
      workers: asked?.workers ?? null,
    };
  }

  /** What forbids a batch now; the rate is a reason among the others while it is what is waited for. */
  #active(): Throttle[] {
    const slow = this.#commits.reason;
    return [...this.#reasons.values(), ...(slow ? [slow] : []), ...(this.#rate.isSpent ? [this.#rated()] : [])];
  }

  #rated(): Throttle {
    return this.#rate.reason(this.#pace().maxRate);
  }

  #waits(): boolean {
    return !this.#hasLooked || this.#isResting || this.#active().length > 0;
  }

  async #read(): Promise<void> {
    while (!this.#isClosed && !this.facts.signal.aborted) {
      try {
        await this.#readOnce();
        this.#isBlind = false;
      } catch (error) {
        // The batches themselves wait for a server that is away.
        if (!this.#isBlind) this.facts.note(`requests cannot be read: ${translateServerError(error).message}`);
        this.#isBlind = true;
      }
      await pause(READ_MS, this.#asking.signal);
    }
  }

  async #readOnce(): Promise<void> {
    const { state, run, fence } = this.facts;
    const control = await readControl(state, run);
    const isNew =
      control.requestedAt !== null && control.requestedAt.getTime() !== this.#control.requestedAt?.getTime();
    this.#control = control;
    if (this.#pace().maxRate === null) this.#rate.spend(0, null);
    this.#obey(control);
    if (isNew && control.requestedAt) await answer(state, run, fence, control.requestedAt, 'acknowledgedAt');
    // Done is what the run's state says as well.
    await this.#tellRest();
    if (control.requestedAt && !control.doneAt && this.#isObeyed(control))
      await answer(state, run, fence, control.requestedAt, 'doneAt');
  }

  #obey({ pause: paused, stop }: Control): void {
    if (stop && this.#isStop(stop)) {
      const because = stop.because ? `: ${stop.because}` : '';
      const message = `stopped on request of ${stop.by}${because}; the batch under way was finished, the cursor is saved`;
      this.facts.stop(new GodwitError('GODWIT_STOPPED', message));
    }
    if (!paused) this.#reasons.delete(PAUSED);
    else {
      const who = `${paused.by}${paused.because ? `: ${paused.because}` : ''}`;
      this.#reasons.set(PAUSED, {
        reason: PAUSED,
        measured: null,
        limit: null,
        unit: who,
        node: null,
        since: paused.at,
      });
    }
  }

  /** A pause holds once no batch is under way, the pace with the next batch, a stop with the end of the runner. */
  #isObeyed({ pause: paused, stop }: Control): boolean {
    return !this.#isStop(stop) && (!paused || this.#isResting);
  }

  #isStop(stop: Control['stop']): boolean {
    return stop !== null && stop.at >= this.facts.since;
  }

  async #tellRest(): Promise<void> {
    const reasons = [...this.#reasons.values()];
    const isResting = reasons.length > 0 && this.#underway === 0;
    if (isResting === this.#isResting) return this.#storeNowAndThen();
    const why = isResting
      ? `waiting: ${reasons.map(describeThrottle).join('; ')}`
      : 'nothing forbids the next batch any more';
    this.facts.note(why);
    // Closed before it is told, and opened after: a batch must not begin in a state that has none.
    this.#isResting = true;
    await this.#store(reasons);
    await this.#onRest(isResting ? reasons : []);
    this.#isResting = isResting;
  }

  async #storeNowAndThen(): Promise<void> {
    // A rate is waited for a moment at a time: it was what held the run back since the last look.
    const now = this.#active();
    const isRated = MAX_RATE in this.#waitedMs && !now.some(({ reason }) => reason === MAX_RATE);
    const active = isRated ? [...now, this.#rated()] : now;
    const isDue = performance.now() - this.#storedAt >= STORE_MS;
    if (isDue && (active.length > 0 || this.#isShown)) await this.#store(active);
  }

  async #store(active: readonly Throttle[]): Promise<void> {
    const { state, run, fence } = this.facts;
    const waitedMs = this.#waitedMs;
    this.#waitedMs = {};
    this.#storedAt = performance.now();
    this.#isShown = active.length > 0;
    await storeThrottles(state, run, fence, active, waitedMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#asking.abort();
    await this.#reading;
    if (this.#isShown || Object.keys(this.#waitedMs).length > 0) await this.#store([]).catch(() => undefined);
  }
}
