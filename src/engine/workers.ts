/** Workers take items in order, each with its own session; the first error stops the others at their next boundary. */
import type { ClientSession } from 'mongodb';

export async function shareOut<T>(
  items: readonly T[],
  sessions: readonly ClientSession[],
  signal: AbortSignal,
  work: (item: T, session: ClientSession, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const takeItems = async (session: ClientSession): Promise<void> => {
    for (let item = queue.shift(); item !== undefined && !either.aborted; item = queue.shift())
      await work(item, session, either);
  };
  await Promise.all(
    sessions.map((session) =>
      takeItems(session).catch((error: unknown) => {
        if (!failed.signal.aborted) failed.abort(error);
      }),
    ),
  );
  if (failed.signal.aborted) throw failed.signal.reason;
}
