/**
 * One transaction of one batch. Commits only when the body returned; whatever it threw, the transaction is aborted,
 * since a failed statement does not always end it on the server, and a commit would then keep the rest.
 */
import type { ClientSession } from 'mongodb';
import { backoffMs, pause } from '../kernel/retry.js';
import { isCommitRefused } from './server-errors.js';

/** Thrown when a commit got no definite answer in time: only the stored sequence number can tell. */
export class CommitUnknown extends Error {
  constructor(cause: unknown) {
    super('the result of a commit is unknown', { cause });
    this.name = 'CommitUnknown';
  }
}

/** How long a commit without an answer is asked for again, in ms. */
const COMMIT_PATIENCE_MS = 20_000;

/**
 * Runs `body` in a snapshot transaction with majority commit.
 *
 * @throws what `body` threw (aborted), the commit's refusal (aborted by the server), or CommitUnknown
 */
export async function inTransaction<T>(session: ClientSession, body: () => Promise<T>): Promise<T> {
  session.startTransaction({ readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' } });
  let result: T;
  try {
    result = await body();
  } catch (error) {
    await abort(session);
    throw error;
  }
  await commit(session);
  return result;
}

/** Ends the transaction. When even that fails the server ends it, by killSessions or its own time limit. */
async function abort(session: ClientSession): Promise<void> {
  if (session.inTransaction()) await session.abortTransaction().catch(() => undefined);
}

async function commit(session: ClientSession): Promise<void> {
  const deadline = performance.now() + COMMIT_PATIENCE_MS;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await session.commitTransaction();
      return;
    } catch (error) {
      if (isCommitRefused(error)) throw error;
      if (performance.now() > deadline) throw new CommitUnknown(error);
      await pause(backoffMs(attempt, Math.random, 50));
    }
  }
}
