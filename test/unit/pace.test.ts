import { describe, expect, test } from 'vitest';
import { describeThrottle } from '../../src/domain/control.js';
import { nextLimit } from '../../src/domain/pace.js';
import { bottleneckOf, PhaseLog } from '../../src/domain/phases.js';

describe('the next batch', () => {
  test.each([
    ['stays as it is within the aim', { limit: 500, read: 500, holdMs: 80 }, 500],
    ['is smaller when documents were held for too long', { limit: 500, read: 500, holdMs: 150 }, 250],
    ['is never less than a quarter: one slow commit is no trend', { limit: 500, read: 500, holdMs: 5_000 }, 125],
    ['grows when they were held shortly', { limit: 500, read: 500, holdMs: 49 }, 765],
    ['at most doubles', { limit: 500, read: 500, holdMs: 1 }, 1_000],
    ['does not grow on one that was cut short', { limit: 500, read: 200, holdMs: 10 }, 500],
    ['has one document at least', { limit: 1, read: 1, holdMs: 900 }, 1],
    ['has 5,000 documents at most', { limit: 4_000, read: 4_000, holdMs: 10 }, 5_000],
  ])('%s', (_, batch, expected) => {
    expect(nextLimit(batch, 75)).toBe(expected);
  });

  test('comes to rest where a document takes as long as it takes', () => {
    let limit = 500;
    for (let batch = 0; batch < 10; batch += 1) limit = nextLimit({ limit, read: limit, holdMs: limit * 0.9 }, 75);
    expect(limit * 0.9).toBeGreaterThanOrEqual(50);
    expect(limit * 0.9).toBeLessThanOrEqual(100);
  });
});

describe('what limits a run', () => {
  const batch = { throttle: 0, read: 5, transform: 2, audit: 3, write: 30, commit: 10 };

  const logOf = (count: number, of = batch): PhaseLog => {
    const log = new PhaseLog();
    for (let n = 0; n < count; n += 1) log.add(of);
    return log;
  };

  const told = (log: PhaseLog): string | null => {
    const table = log.table();
    if (!table) throw new Error('wanted batches, found none');
    return bottleneckOf(table, log.batches);
  };

  test('is not told from a few batches', () => {
    expect(told(logOf(19))).toBeNull();
    expect(new PhaseLog().table()).toBeNull();
  });

  test('is the phase that takes most of the time', () => {
    expect(told(logOf(20))).toBe(
      "limited by writing the documents, and waiting for the application's own writes to them: 60 % of the time, 30 ms a batch (p90 30 ms)",
    );
  });

  test('is nothing alone where no phase takes much', () => {
    expect(told(logOf(20, { throttle: 9, read: 9, transform: 9, audit: 9, write: 10, commit: 9 }))).toMatch(
      /^limited by nothing alone; most goes to writing the documents/,
    );
  });

  test('is what is waited for before batches, where that takes most', () => {
    expect(told(logOf(20, { ...batch, throttle: 450 }))).toBe(
      'limited by what it waits for before a batch (a rate, a signal, a pause): 90 % of the time, 450 ms a batch (p90 450 ms)',
    );
  });

  test('is told with percentiles of the last 1,000 batches', () => {
    const log = logOf(1_000, { ...batch, read: 1_000 });
    for (let n = 1; n <= 1_000; n += 1) log.add({ ...batch, read: n });
    expect(log.batches).toBe(1_000);
    expect(log.table()?.read).toMatchObject({ p50: 500, p90: 900 });
    const shares = Object.values(log.table() ?? {}).map(({ share }) => share);
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 2);
  });
});

describe('why a run waits', () => {
  const since = new Date(0);
  test.each([
    [
      { reason: 'replica lag', measured: 4.06, limit: 2, unit: 's', node: 'db2:27017' },
      'replica lag 4.1 s (limit 2 s) on db2:27017',
    ],
    [
      { reason: 'max rate', measured: null, limit: 200, unit: 'documents/s', node: null },
      'max rate (limit 200 documents/s)',
    ],
    [
      { reason: 'paused on request', measured: null, limit: null, unit: 'ann@db: a fair', node: null },
      'paused on request (ann@db: a fair)',
    ],
    [{ reason: 'flow control', measured: null, limit: null, unit: null, node: null }, 'flow control'],
  ])('is told as %o', (throttle, text) => {
    expect(describeThrottle({ ...throttle, since })).toBe(text);
  });
});
