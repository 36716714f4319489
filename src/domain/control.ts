/**
 * What people ask of a run under way, from whatever machine, and what keeps it from its next batch. Asked, acknowledged
 * and done are three moments: a request is not obeyed because it was made.
 */

export interface Request {
  readonly by: string;
  readonly at: Date;
  readonly because: string | null;
}

/** What was asked of the pace; null: as the runner was started with. */
export interface Pace {
  /** Documents a second, of all workers together. */
  readonly maxRate: number | null;
  /** Documents of a batch, fixed. */
  readonly batchSize: number | null;
  /** Chunks worked on at once. */
  readonly workers: number | null;
}

export interface Control {
  readonly pause: Request | null;
  readonly stop: Request | null;
  readonly pace: (Pace & Request) | null;
  /** Of the last request. */
  readonly requestedAt: Date | null;
  /** The runner has read it. */
  readonly acknowledgedAt: Date | null;
  /** It holds: no batch is under way any more, or the next one obeys it. */
  readonly doneAt: Date | null;
}

export const NO_CONTROL: Control = {
  pause: null,
  stop: null,
  pace: null,
  requestedAt: null,
  acknowledgedAt: null,
  doneAt: null,
};

/** One reason why the next batch waits. */
export interface Throttle {
  readonly reason: string;
  readonly measured: number | null;
  readonly limit: number | null;
  /** Of the figures; where nothing is measured, what there is to say instead. */
  readonly unit: string | null;
  /** Where it was measured; null where it is of no place. */
  readonly node: string | null;
  readonly since: Date;
}

/** A reason in words: `replica lag 4.1 s (limit 2 s) on db2:27017`. */
export function describeThrottle({ reason, measured, limit, unit, node }: Throttle): string {
  const isWords = measured === null && limit === null;
  const figure = measured === null ? '' : ` ${measured.toFixed(unit === 's' || unit === 'h' ? 1 : 0)} ${unit}`;
  const bound = limit === null ? '' : ` (limit ${limit} ${unit})`;
  return `${reason}${figure}${bound}${isWords && unit !== null ? ` (${unit})` : ''}${node === null ? '' : ` on ${node}`}`;
}

/** No batch has been committed for a while. */
export interface Stall {
  readonly since: Date;
  /** What keeps the batches, in words. */
  readonly because: string;
}

/** A signal that is not looked at, and what it would need. */
export interface SignalOff {
  readonly signal: string;
  readonly needs: string;
}

/** In words, one line for each thing that is needed. */
export const describeOff = (off: readonly SignalOff[]): string[] =>
  [...new Set(off.map(({ needs }) => needs))].map((needs) => {
    const names = off.filter((one) => one.needs === needs).map(({ signal }) => signal);
    return `not looked at: ${names.join(', ')}; needs ${needs}`;
  });

export const PAUSED = 'paused on request';
export const MAX_RATE = 'max rate';
export const SLOW_COMMITS = 'slow commits';
