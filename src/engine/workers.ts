/** Workers take items in order, each with its own session; the first error stops the others at their next boundary. */
import { setMaxListeners } from 'node:events';
import type { ClientSession } from 'mongodb';
import { pause } from '../kernel/retry.js';
import type { Gate } from './gate.js';

/** How often a worker that has nothing to do, or is one too many for now, looks again, in ms. */
const LOOK_MS = 100;

export interface Sharing<T> {
  readonly sessions: readonly ClientSession[];
  readonly signal: AbortSignal;
  readonly gate: Gate;
  /** @returns what is left of the item, for another worker, when `mayWork` said no meanwhile */
  work(item: T, session: ClientSession, signal: AbortSignal, mayWork: () => boolean): Promise<T | undefined>;
}

export async function shareOut<T>(items: readonly T[], { sessions, signal, gate, work }: Sharing<T>): Promise<void> {
  const queue = [...items];
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const done = new AbortController();
  const woken = AbortSignal.any([either, done.signal]);
  // Each worker listens: Node warns of a leak from the eleventh on.
  setMaxListeners(0, either, woken);
  let underway = 0;
  const takeItems = async (session: ClientSession, worker: number): Promise<void> => {
    const mayWork = (): boolean => gate.mayWork(worker);
    while (!either.aborted && (queue.length > 0 || underway > 0)) {
      const item = mayWork() ? queue.shift() : undefined;
      if (item === undefined) {
        await pause(LOOK_MS, woken);
        continue;
      }
      underway += 1;
      const left = await work(item, session, either, mayWork).finally(() => {
        underway -= 1;
      });
      if (left !== undefined) queue.unshift(left);
    }
    if (queue.length === 0 && underway === 0) done.abort();
  };
  await Promise.all(
    sessions.map((session, worker) =>
      takeItems(session, worker).catch((error: unknown) => {
        if (!failed.signal.aborted) failed.abort(error);
      }),
    ),
  );
  if (failed.signal.aborted) throw failed.signal.reason;
}
