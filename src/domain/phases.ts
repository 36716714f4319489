/** Where the time of batches goes, and one sentence that names what limits the run. */

/** Of a batch under way, in the order of the write path. */
export const BATCH_PHASES = ['read', 'transform', 'audit', 'write', 'commit'] as const;
export type BatchPhase = (typeof BATCH_PHASES)[number];

/** With what it waits before it may begin (`throttle`). */
export const PHASES = ['throttle', ...BATCH_PHASES] as const;
export type Phase = (typeof PHASES)[number];

/** To hundredths of a millisecond: what a clock says beyond that is noise. */
export const roundTimes = (times: Readonly<Record<Phase, number>>): Record<Phase, number> =>
  Object.fromEntries(PHASES.map((phase) => [phase, Math.round(times[phase] * 100) / 100])) as Record<Phase, number>;

/** Of one phase over the last batches, in ms of one batch. */
export interface PhaseTimes {
  readonly p50: number;
  readonly p90: number;
  /** Of all time spent in batches and before them, 0 to 1. */
  readonly share: number;
}

export type PhaseTable = Readonly<Record<Phase, PhaseTimes>>;

/** Batches that are remembered. */
const KEPT = 1_000;
/** Fewer batches say nothing of a run. */
const FEWEST = 20;
/** A phase that takes less than this share of the time is not what limits. */
const MOST_OF_IT = 0.4;

/** The nearest-rank percentile (of sorted values). */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

/** Remembers the times of the last 1,000 batches. */
export class PhaseLog {
  readonly #times: Readonly<Record<Phase, number>>[] = [];

  add(times: Readonly<Record<Phase, number>>): void {
    this.#times.push(times);
    if (this.#times.length > KEPT) this.#times.shift();
  }

  get batches(): number {
    return this.#times.length;
  }

  /** Null before the first batch. */
  table(): PhaseTable | null {
    if (this.#times.length === 0) return null;
    const sums = PHASES.map((phase) => this.#times.reduce((sum, times) => sum + times[phase], 0));
    const all = sums.reduce((sum, one) => sum + one, 0);
    const rows = PHASES.map((phase, at) => {
      const sorted = this.#times.map((times) => times[phase]).sort((a, b) => a - b);
      const [p50, p90] = [percentile(sorted, 0.5), percentile(sorted, 0.9)].map((ms) => Math.round(ms * 10) / 10);
      return [phase, { p50, p90, share: all > 0 ? Math.round(((sums[at] ?? 0) / all) * 1_000) / 1_000 : 0 }];
    });
    return Object.fromEntries(rows) as PhaseTable;
  }
}

const LIMITS: Readonly<Record<Phase, string>> = {
  throttle: 'what it waits for before a batch (a rate, a signal, a pause)',
  read: 'reading documents from the server; an index on the filter, or a nearer server, would help',
  transform: 'the step itself: what up(), or the pipeline, does for each document',
  audit: 'writing the audit',
  write: "writing the documents, and waiting for the application's own writes to them",
  commit: 'the commits of the server (its disk, and the majority of its members)',
};

/**
 * One sentence on what limits a run.
 *
 * @param batches how many the table tells of
 * @returns null below 20 batches, where nothing can be said
 */
export function bottleneckOf(table: PhaseTable, batches: number): string | null {
  if (batches < FEWEST) return null;
  const [phase] = [...PHASES].sort((a, b) => table[b].share - table[a].share);
  if (!phase) return null;
  const { share, p50, p90 } = table[phase];
  const percent = Math.round(share * 100);
  const what =
    share >= MOST_OF_IT ? `limited by ${LIMITS[phase]}` : `limited by nothing alone; most goes to ${LIMITS[phase]}`;
  return `${what}: ${percent} % of the time, ${p50} ms a batch (p90 ${p90} ms)`;
}
