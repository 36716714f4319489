/** What every batch passes before it begins: the governor, or nothing for what only looks. */
import type { Throttle } from '../domain/control.js';

export type OnRest = (reasons: readonly Throttle[]) => Promise<void>;

export interface Gate {
  /** Resolves when a batch may begin. @returns documents that it may take @throws the signal's reason */
  enter(limit: number, signal: AbortSignal): Promise<number>;
  /** A batch has ended: documents that it took, and how long its commit lasted, in ms (none: it has none). */
  leave(documents: number, commitMs?: number): void;
  /** False for a worker (from 0) that is one too many for now. */
  mayWork(worker: number): boolean;
  /** What the next batch waits for, in words. */
  readonly waitsFor: readonly string[];
  /**
   * From here on requests are read.
   *
   * @param onRest told, and waited for, when the run comes to rest because of these reasons, and before it goes on (none)
   */
  begin(onRest: OnRest): void;
}

/**
 * Carries a batch out at its time.
 *
 * @param work is told how many documents it may take, and for how long it has waited, in ms
 * @param seen what it took, and how long its commit lasted, in ms
 */
export async function throughGate<T>(
  { gate, signal }: { readonly gate: Gate; readonly signal: AbortSignal },
  limit: number,
  work: (allowed: number, waitedMs: number) => Promise<T>,
  seen: (outcome: T) => readonly [documents: number, commitMs?: number],
): Promise<T> {
  const from = performance.now();
  const allowed = await gate.enter(limit, signal);
  const waitedMs = performance.now() - from;
  let figures: readonly [documents: number, commitMs?: number] = [0];
  try {
    const outcome = await work(allowed, waitedMs);
    figures = seen(outcome);
    return outcome;
  } finally {
    gate.leave(...figures);
  }
}

/** Lets everything through: for what only looks. */
export const OPEN_GATE: Gate = {
  enter: async (limit) => limit,
  leave: () => undefined,
  mayWork: () => true,
  waitsFor: [],
  begin: () => undefined,
};
