/**
 * Says when no batch has been committed for a while, and what each is at: a run that hangs must not look alive. It ends
 * nothing; waiting for somebody else's transaction is waited for in other places.
 */
import type { ClientSession } from 'mongodb';
import type { BatchPhase } from '../domain/phases.js';
import { formatDuration } from '../kernel/units.js';
import { storeStall } from '../mongo/control.js';
import { classifyBatchError, translateServerError } from '../mongo/server-errors.js';
import type { RunContext } from './run-context.js';

/** How often it looks, in ms; sooner where less is waited for. */
const LOOK_MS = 1_000;

const DOING: Readonly<Record<BatchPhase, string>> = {
  read: 'reading the batch',
  transform: 'in the step itself (up(), or the pipeline)',
  audit: 'writing the audit',
  write: "writing the documents, which somebody else's open transaction or an index build may hold",
  commit: 'waiting for the commit (the disk, or a majority of the members)',
};

const whyOf = (error: unknown): string =>
  classifyBatchError(error) === 'conflict' ? 'another writer was there first' : translateServerError(error).message;

/** What the batches under way are at. */
export class Activity {
  readonly #phases = new Map<ClientSession, { readonly phase: BatchPhase; readonly since: number }>();
  #redone = 0;
  #last: unknown;

  at(session: ClientSession, phase: BatchPhase): void {
    this.#phases.set(session, { phase, since: performance.now() });
  }

  /** The batch is to be tried again. */
  redone(error: unknown): void {
    this.#redone += 1;
    this.#last = error;
  }

  /** A batch is committed, or its worker has none. */
  through(session: ClientSession): void {
    this.#phases.delete(session);
    this.#redone = 0;
  }

  /** In words, what has taken longest first. */
  describe(): string {
    const [oldest] = [...this.#phases.values()].sort((a, b) => a.since - b.since);
    const doing = oldest
      ? `${DOING[oldest.phase]} for ${formatDuration(performance.now() - oldest.since)}`
      : 'no batch is under way';
    return this.#redone > 0 ? `${doing}; redone ${this.#redone} times (last: ${whyOf(this.#last)})` : doing;
  }
}

/** While `work` goes on: what keeps its batches is noted once a `stallMs`, and stored for `status`. */
export async function watchOver<T>(context: RunContext, work: () => Promise<T>): Promise<T> {
  const { tally, settings, gate, activity, events, run, state, fence } = context;
  let batches = tally.batches;
  let movedAt = Date.now();
  let toldAt = movedAt;
  let isStored = false;
  let storing: Promise<void> = Promise.resolve();
  const store = (stalled: { readonly since: Date; readonly because: string } | null): void => {
    isStored = stalled !== null;
    // Only for people to see: a server that is away is what it would tell of.
    storing = storing.then(() => storeStall(state, run._id, fence, stalled)).catch(() => undefined);
  };
  const look = (): void => {
    const now = Date.now();
    if (tally.batches !== batches) {
      batches = tally.batches;
      movedAt = toldAt = now;
      if (isStored) store(null);
    } else if (now - toldAt >= settings.stallMs) {
      toldAt = now;
      const because = gate.waitsFor.join('; ') || activity.describe();
      events.emit('run:note', {
        run: run._id,
        note: `no batch was committed for ${formatDuration(now - movedAt)}: ${because}`,
      });
      store({ since: new Date(movedAt), because });
    }
  };
  const timer = setInterval(look, Math.min(LOOK_MS, settings.stallMs / 2));
  try {
    return await work();
  } finally {
    clearInterval(timer);
    if (isStored) store(null);
    await storing;
  }
}
