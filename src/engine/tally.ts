/** Counts what a run does: per run for the budget and the display, from the committed batches only. */
import {
  addCounters,
  addUndo,
  type Counters,
  NO_COUNTERS,
  NO_UNDO,
  type UndoCounters,
  writtenOf,
} from '../domain/chunk.js';
import { PhaseLog } from '../domain/phases.js';

export class Tally {
  counters: Counters;
  undo: UndoCounters | null = null;
  batches = 0;
  conflictsRetried = 0;
  /** Where the time of this process's batches went. */
  readonly phases = new PhaseLog();
  /** Changes made by this process: what `--limit` counts. */
  changedHere = 0;
  scannedHere = 0;
  failedHere = 0;

  constructor(
    counters: Counters,
    private readonly maxFailures: number,
    private readonly limit: number,
  ) {
    this.counters = counters;
  }

  addBatch(batch: Counters, redone: number): void {
    this.counters = addCounters(this.counters, batch);
    this.batches += 1;
    this.conflictsRetried += redone;
    this.changedHere += writtenOf(batch);
    this.scannedHere += batch.scanned;
    this.failedHere += Math.max(0, batch.failed);
  }

  /** A quarantined document is gone. */
  forgetFailed(): void {
    this.counters = addCounters(this.counters, { ...NO_COUNTERS, scanned: -1, failed: -1 });
  }

  addUndo(batch: UndoCounters, redone: number): void {
    this.undo = addUndo(this.undo ?? NO_UNDO, batch);
    this.batches += 1;
    this.conflictsRetried += redone;
  }

  /** Failures that may still happen in this process. At least 0, so that a resumed run gets on to the next one. */
  get failuresLeft(): number {
    return Math.max(0, this.maxFailures - this.counters.failed);
  }

  get changesLeft(): number {
    return this.limit - this.changedHere;
  }

  get isOverBudget(): boolean {
    return this.failedHere > 0 && this.counters.failed > this.maxFailures;
  }

  get isAtLimit(): boolean {
    return this.changesLeft <= 0;
  }

  static fresh(maxFailures: number, limit = Number.POSITIVE_INFINITY): Tally {
    return new Tally(NO_COUNTERS, maxFailures, limit);
  }
}
