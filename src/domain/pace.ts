/**
 * How many documents the next batch takes. A batch holds its documents from its first write to its commit, and an
 * application that wants one of them waits for that long: 50 to 100 ms are aimed at (P12).
 */

/** Around what is aimed at. */
const BAND = { least: 2 / 3, most: 4 / 3 } as const;
/** One slow commit is not a trend, and one quick batch is none either. */
const STEP = { least: 0.25, most: 2 } as const;
/** Documents; images are cut at their bytes before that. */
const MOST_DOCUMENTS = 5_000;

export interface PacedBatch {
  /** Documents that it was allowed. */
  readonly limit: number;
  /** Documents that it read. */
  readonly read: number;
  /** How long it held documents, in ms. */
  readonly holdMs: number;
}

/**
 * The limit of the batch after this one. A batch that its bytes or its chunk ended says nothing about a larger one.
 *
 * @param targetMs from a batch's first write to its commit, in ms: what is aimed at
 * @returns documents, 1 to 5,000
 */
export function nextLimit({ limit, read, holdMs }: PacedBatch, targetMs: number): number {
  if (holdMs >= BAND.least * targetMs && holdMs <= BAND.most * targetMs) return limit;
  if (holdMs < targetMs && read < limit) return limit;
  const step = Math.min(STEP.most, Math.max(STEP.least, targetMs / Math.max(holdMs, 1)));
  return Math.max(1, Math.min(MOST_DOCUMENTS, Math.floor(limit * step)));
}
