/** Reads, and writes that may come twice, outside of batches: tried again while a server that is away may come back. */
import { backoffMs, pause } from '../kernel/retry.js';
import { classifyBatchError, isNetworkError } from '../mongo/server-errors.js';
import { serverGone } from './effort.js';
import { commitPatience, type RunContext } from './run-context.js';

/** How long a server that does not answer is waited for. */
export interface Patience {
  /** In ms. */
  readonly ms: number;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
}

/** As `withPatience`, with that of a run. */
export const patiently = <T>(context: RunContext, work: () => Promise<T>): Promise<T> =>
  withPatience(commitPatience(context), work);

/**
 * Does `work`, again and again while the server does not answer.
 *
 * @param work harmless when it is done twice, also when the first time was in part
 * @throws GodwitError GODWIT_NO_PRIMARY when the server stays away too long; what `work` threw otherwise
 */
export async function withPatience<T>({ ms, signal, note }: Patience, work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + ms;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (classifyBatchError(error) !== 'interrupted' || signal.aborted) throw error;
      if (performance.now() > deadline) throw isNetworkError(error) ? serverGone(error, ms) : error;
      if (attempt === 1) note('the server does not answer; waiting for a primary');
      await pause(backoffMs(attempt, Math.random, 100), signal);
    }
  }
}
