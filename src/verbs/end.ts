/** When a run will end: a range around its mean rate, or why nobody can tell. */

/** Documents a second, and when that ends. */
export interface Rate {
  readonly docsPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly etaLowSeconds: number | null;
  readonly etaHighSeconds: number | null;
  readonly etaUnknownBecause: string | null;
}

export const unknownEta = (docsPerSecond: number | null, because: string): Rate => ({
  docsPerSecond,
  etaSeconds: null,
  etaLowSeconds: null,
  etaHighSeconds: null,
  etaUnknownBecause: because,
});

/** How long it will take still, as a range around the mean rate so far. */
export function estimateEnd(done: number, total: number, workedMs: number, isMoving: boolean): Rate {
  const docsPerSecond = workedMs > 0 && done > 0 ? Math.round(done / (workedMs / 1_000)) : null;
  if (!isMoving) return unknownEta(docsPerSecond, 'it is not running');
  if (docsPerSecond === null || workedMs < 2_000 || done < total / 100)
    return unknownEta(docsPerSecond, 'still measuring');
  const left = Math.max(0, total - done) / docsPerSecond;
  return {
    docsPerSecond,
    etaSeconds: round(left),
    etaLowSeconds: round(left * 0.85),
    etaHighSeconds: round(left * 1.3 + 1),
    etaUnknownBecause: null,
  };
}

const round = (seconds: number): number => Math.round(seconds * 10) / 10;
