/**
 * One transaction of one batch. Commits only when the body returned; whatever it threw, the transaction is aborted,
 * since a failed statement does not always end it on the server, and a commit would then keep the rest.
 */
import type { ClientSession } from 'mongodb';
import { backoffMs, pause } from '../kernel/retry.js';
import { classifyBatchError, isCommitRefused, isNetworkError } from './server-errors.js';

/** Thrown when a commit got no definite answer in time: only the stored sequence number can tell. */
export class CommitUnknown extends Error {
  constructor(cause: unknown) {
    super('the result of a commit is unknown', { cause });
    this.name = 'CommitUnknown';
  }
}

/** How long a commit without a definite answer is asked for again. */
export interface CommitPatience {
  /** In ms. */
  readonly ms: number;
  /** Aborted: not asked for again. */
  readonly signal: AbortSignal;
  /** Told when the connection was lost: whether the transaction is still open on the server, nobody here can say. */
  readonly onLost: () => void;
  /** Told when the first answer was none, and when a later one was one. */
  readonly note: (text: string) => void;
}

/**
 * Runs `body` in a snapshot transaction with majority commit.
 *
 * @throws what `body` threw (aborted), the commit's refusal (aborted by the server), or CommitUnknown
 */
export async function inTransaction<T>(
  session: ClientSession,
  body: () => Promise<T>,
  patience: CommitPatience,
): Promise<T> {
  session.startTransaction({ readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' } });
  let result: T;
  try {
    result = await body();
  } catch (error) {
    if (isNetworkError(error)) patience.onLost();
    await abort(session);
    throw error;
  }
  await commit(session, patience);
  return result;
}

/** Ends the transaction. When even that fails the server ends it, by killSessions or its own time limit. */
async function abort(session: ClientSession): Promise<void> {
  if (session.inTransaction()) await session.abortTransaction().catch(() => undefined);
}

/**
 * Asks again until the answer is one: the server knows a transaction by its number, so that a commit is never carried
 * out twice, and another primary knows whether it has it.
 */
async function commit(session: ClientSession, { ms, signal, note, onLost }: CommitPatience): Promise<void> {
  const deadline = performance.now() + ms;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await session.commitTransaction();
      if (attempt > 1) note('the result of a commit was unknown; resolved: committed');
      return;
    } catch (error) {
      if (isCommitRefused(error)) {
        if (attempt > 1) note('the result of a commit was unknown; resolved: not committed');
        throw error;
      }
      if (isNetworkError(error)) onLost();
      const mayAnswer = classifyBatchError(error) === 'interrupted';
      if (!mayAnswer || performance.now() > deadline || signal.aborted) throw new CommitUnknown(error);
      if (attempt === 1) note('waiting for the answer to a commit: a primary, or a majority, is missing');
      await pause(backoffMs(attempt, Math.random, 50), signal);
    }
  }
}
