/**
 * What the application inserted while a run went on. A batch that reads such a document in the new shape leaves it as
 * it is, and without this could not be told from one that finds a document of before the run in the new shape.
 */

import type { Chunk } from '../domain/chunk.js';
import { wasCompleted } from '../domain/run.js';
import { keyOf } from '../domain/stored-document.js';
import { Changes, clusterTime, HistoryLost } from '../mongo/changes.js';
import { insertedKeys } from '../mongo/touched.js';
import type { StepContext } from './run-context.js';

/** How long the history may take to be read, in ms. */
const READ_MS = 120_000;

export interface Inserted {
  readonly keys: ReadonlySet<string>;
  /** False when the history is lost, or too long to be read. */
  readonly isSure: boolean;
}

/** Reads on where the run's stream ended: a run that was completed read it to its end, another one did not. */
export async function insertedMeanwhile(context: StepContext, chunks: readonly Chunk[]): Promise<Inserted> {
  const { run, state, stepIndex } = context;
  const keys = await insertedKeys(state, run._id, stepIndex);
  if (run.stream.isLost) return { keys, isSure: false };
  const worked = chunks.filter(({ step, seq }) => step === stepIndex && seq > 0);
  if (wasCompleted(run) || worked.length === 0) return { keys, isSure: true };
  const until = Math.max(...worked.map(({ at }) => at.getTime()));
  return { keys, isSure: await readOn(context, keys, BigInt(Math.ceil(until / 1_000) + 1)) };
}

/** @returns false when the stream cannot tell */
async function readOn(context: StepContext, keys: Set<string>, untilSeconds: bigint): Promise<boolean> {
  const { db, run, step, signal } = context;
  const { token, since } = run.stream;
  const changes = new Changes({ db, collections: [step.collection], ownSessions: run.ownSessions, token, since });
  const now = (await clusterTime(db)).toBigInt();
  const deadline = performance.now() + READ_MS;
  try {
    for (;;) {
      const { events, upTo } = await changes.next();
      for (const { kind, collection, id } of events) {
        // What is inserted under another name the stream does not tell.
        if (kind === 'replaced-collection') return false;
        if (kind === 'inserted' && collection === step.collection) keys.add(keyOf(id));
      }
      // On a server at rest the stream's place stays at the last operation: nothing new there is its end.
      if (upTo >> 32n > untilSeconds || upTo > now || (upTo === now && events.length === 0)) return true;
      if (signal.aborted) throw signal.reason;
      if (performance.now() > deadline) return false;
    }
  } catch (error) {
    if (error instanceof HistoryLost) return false;
    throw error;
  } finally {
    await changes.close();
  }
}
