/** Documents that a rollback found without a before image: inserted while the run went on, or since. */

/** `_id`s that are listed; all are counted. */
export const MAX_NEWCOMERS_LISTED = 1_000;

export interface Newcomers {
  /** Taken back by the author's `down`. */
  readonly restored: number;
  /** Left as they are. */
  readonly count: number;
  readonly listed: readonly { readonly collection: string; readonly id: unknown }[];
  /** False when it can't be told any more what was inserted while the run went on. */
  readonly isSure: boolean;
}

export const NO_NEWCOMERS: Newcomers = { restored: 0, count: 0, listed: [], isSure: true };

export const addNewcomers = (a: Newcomers, b: Newcomers): Newcomers => ({
  restored: a.restored + b.restored,
  count: a.count + b.count,
  listed: [...a.listed, ...b.listed].slice(0, MAX_NEWCOMERS_LISTED),
  isSure: a.isSure && b.isSure,
});
