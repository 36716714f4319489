import { setTimeout as sleep } from 'node:timers/promises';

/** Waits `ms`, or less when the signal is aborted (which is no error here: the caller looks at the signal). */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, signal ? { signal } : undefined).catch(() => undefined);
}

/**
 * Milliseconds to wait before try number `attempt` (from 1): exponential with full jitter, so that two writers that
 * met once do not meet again. Source: "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
 */
export function backoffMs(attempt: number, random: () => number = Math.random, baseMs = 10, capMs = 2_000): number {
  return random() * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 16));
}
