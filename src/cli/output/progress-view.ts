/** What a progress display knows: figures collected from events, and what follows from them. No output here. */
import { type Counters, type UndoCounters, undoTotal } from '../../domain/chunk.js';
import { PHASES } from '../../domain/phases.js';
import type { RunState } from '../../domain/run.js';
import type { BatchTimes, EventMap } from '../../events.js';

/** Span of the recent rate, in ms. */
const RECENT_MS = 10_000;
/** Before this much work an end is not guessed at. */
const MEASURED_MS = 3_000;

interface Point {
  readonly at: number;
  readonly done: number;
}

export type End = { readonly low: number; readonly high: number } | { readonly unknown: string };

export class ProgressView {
  state: RunState | 'reading' = 'reading';
  counters: Counters | null = null;
  done = 0;
  total = 0;
  batches = 0;
  /** Set while the run follows the application. */
  following: { readonly lagMs: number; readonly caughtUp: number } | null = null;
  batchMs = 0;
  batchDocuments = 0;
  readonly startedAt = performance.now();
  #points: Point[] = [];
  #doneBefore: number | null = null;
  #times = { throttle: 0, read: 0, transform: 0, audit: 0, write: 0, commit: 0 };

  constructor(
    readonly where: string,
    readonly what: string,
  ) {}

  planned({ total }: EventMap['run:planned'][0]): void {
    this.total = total;
    this.state = 'planned';
  }

  stateChanged({ to }: EventMap['run:state'][0]): void {
    this.state = to;
    this.#points = [];
    this.#doneBefore = null;
    if (to === 'verifying') this.done = 0;
  }

  batch({ counters, total, batch, times }: EventMap['run:batch'][0]): void {
    if (this.state !== 'verifying')
      this.#move(counters.scanned, Math.max(total, counters.scanned), counters.scanned - batch.scanned);
    this.counters = counters;
    this.batches += 1;
    this.batchDocuments = batch.scanned;
    this.#addTimes(times);
  }

  #addTimes(times: BatchTimes): void {
    this.batchMs = times.write + times.commit;
    for (const phase of PHASES) this.#times[phase] += times[phase];
  }

  undone({ undo, total }: { readonly undo: UndoCounters; readonly total: number }): void {
    const done = undoTotal(undo);
    this.#move(done, Math.max(total, done), done);
  }

  followed({ lagMs, caughtUp }: EventMap['run:follow'][0]): void {
    this.following = { lagMs, caughtUp };
  }

  verified({ checked, total }: EventMap['run:verify'][0]): void {
    this.#move(checked, Math.max(total, checked), 0);
  }

  scanned(done: number, total: number): void {
    this.#move(done, Math.max(total, done), 0);
  }

  #move(done: number, total: number, before: number): void {
    this.done = done;
    this.total = total;
    this.#doneBefore ??= before;
    const now = performance.now();
    this.#points.push({ at: now, done });
    while ((this.#points[0]?.at ?? now) < now - RECENT_MS && this.#points.length > 2) this.#points.shift();
  }

  /** Documents per second lately; null until something was measured. */
  get recentRate(): number | null {
    const [first, last] = [this.#points[0], this.#points.at(-1)];
    if (!first || !last || last.at - first.at < 500) return null;
    return ((last.done - first.done) / (last.at - first.at)) * 1_000;
  }

  get meanRate(): number | null {
    const ms = performance.now() - this.startedAt;
    return this.#doneBefore === null || ms < 500 ? null : ((this.done - this.#doneBefore) / ms) * 1_000;
  }

  /** Share done, never the whole before the state says so. */
  get share(): number {
    if (this.state === 'completed' || this.state === 'rolled-back') return 1;
    return this.total === 0 ? 0 : Math.min(0.999, this.done / this.total);
  }

  /** Seconds left, as a range around the recent rate, or why that is unknown. */
  get end(): End {
    const rate = this.recentRate;
    if (rate === null || performance.now() - this.startedAt < MEASURED_MS || this.done < this.total / 100)
      return { unknown: 'still measuring' };
    if (rate <= 0) return { unknown: 'nothing moved in the last 10 s' };
    const left = Math.max(0, this.total - this.done) / rate;
    return { low: left * 0.85, high: left * 1.3 + 1 };
  }

  /** One sentence on what takes the time; nothing before 20 batches. */
  get bottleneck(): string | null {
    const all = Object.values(this.#times).reduce((sum, ms) => sum + ms, 0);
    if (this.batches < 20 || all === 0) return null;
    const percent = (ms: number): number => Math.round((100 * ms) / all);
    const server = percent(this.#times.read + this.#times.audit + this.#times.write + this.#times.commit);
    const own = percent(this.#times.transform);
    const waits = percent(this.#times.throttle);
    if (waits > 50) return `waiting before batches (a rate, a signal, a pause): ${waits} % of the time`;
    return own > 50
      ? `the transform: up() takes ${own} % of the batch time, the server ${server} %`
      : `the server: it takes ${server} % of the batch time (commit ${percent(this.#times.commit)} %), the transform ${own} %`;
  }
}
