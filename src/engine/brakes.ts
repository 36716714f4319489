/** What a run's own batches say about its next one: documents a second that are spent, commits that were slow. */
import { MAX_RATE, SLOW_COMMITS, type Throttle } from '../domain/control.js';

/** Commits whose median is looked at; after slow ones, how long the next batch waits, in ms. */
const COMMITS = 10;
const HOLD_MS = 1_000;

/** Documents a second, of all workers together. */
export class RateBrake {
  /** No batch before this moment. */
  #paidUntil = 0;

  /** @param maxRate null: no limit, also on what was taken before */
  spend(documents: number, maxRate: number | null): void {
    if (maxRate === null) this.#paidUntil = 0;
    else this.#paidUntil = Math.max(this.#paidUntil, performance.now()) + (documents / maxRate) * 1_000;
  }

  get isSpent(): boolean {
    return performance.now() < this.#paidUntil;
  }

  reason(limit: number | null): Throttle {
    return { reason: MAX_RATE, measured: null, limit, unit: 'documents/s', node: null, since: new Date() };
  }
}

/** Slow commits are waited for a moment: what they say of the next one is not known before it is tried. */
export class CommitBrake {
  readonly #commits: number[] = [];
  #slow: { readonly until: number; readonly throttle: Throttle } | null = null;

  /** @param maxMs median of the last commits, in ms; 0: not looked at */
  constructor(private readonly maxMs: number) {}

  add(ms: number): void {
    this.#commits.push(ms);
    if (this.#commits.length < COMMITS) return;
    const median = [...this.#commits].sort((a, b) => a - b)[COMMITS / 2] ?? 0;
    this.#commits.length = 0;
    if (this.maxMs === 0 || median <= this.maxMs) return;
    const slow = { reason: SLOW_COMMITS, measured: Math.round(median), limit: this.maxMs, unit: 'ms', node: null };
    this.#slow = { until: performance.now() + HOLD_MS, throttle: { ...slow, since: new Date() } };
  }

  get reason(): Throttle | null {
    return this.#slow !== null && performance.now() < this.#slow.until ? this.#slow.throttle : null;
  }
}
