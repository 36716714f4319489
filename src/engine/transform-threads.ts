/**
 * Threads for heavy transforms. A transform is ordinary code in the runner's own thread until it is measured slow: then
 * every worker's batches can be transformed at once, while the runner's thread goes on talking to the server.
 */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Piscina } from 'piscina';
import type { Decision } from '../domain/change.js';
import type { StoredDocument } from '../domain/stored-document.js';
import type { FoundDocuments } from '../mongo/lookups.js';
import { decisionsOf, type ThreadAnswer, type ThreadFacts, taskOf } from './thread-task.js';

const MAIN = fileURLToPath(new URL('../engine/transform-thread.js', import.meta.url));

/**
 * Time that the author's `up` takes of a batch, in ms, above which it goes to threads. Its own only: on a slow machine
 * what is done around it may take as long for a transform that is none, and a thread has to do that as well.
 */
const SLOW_MS = 50;
/** Batches whose median is looked at. */
const BATCHES = 3;
/**
 * Time that transforms must have taken in the runner's own thread first, in ms: about what it costs to start threads
 * (two: 0.4 s of CPU on a quick machine, 2.2 s on a slow one), so that a run that is soon over never pays for them.
 */
const SPENT_MS = 1_000;

export interface Threads {
  /** @returns null while this thread does it */
  apply(step: number, documents: readonly StoredDocument[], found: FoundDocuments): Promise<Decision[] | null>;
  /** The author's function was called in this thread for a batch, and took so many ms. */
  measured(ms: number): void;
  close(): Promise<void>;
}

/** Everything in this thread. */
export const NO_THREADS: Threads = { apply: async () => null, measured: () => undefined, close: async () => undefined };

export class TransformThreads implements Threads {
  readonly #times: number[] = [];
  readonly #count: number;
  #pool: Promise<Piscina | null> | undefined;
  #hasFailed = false;
  #spentMs = 0;

  /**
   * @param workers batches that are under way at once
   * @param note told when threads are used, or cannot be
   */
  constructor(
    private readonly facts: ThreadFacts,
    workers: number,
    private readonly note: (text: string) => void,
  ) {
    this.#count = Math.min(workers, availableParallelism());
  }

  measured(ms: number): void {
    if (this.#pool || this.#count < 2) return;
    this.#spentMs += ms;
    this.#times.push(ms);
    if (this.#times.length > BATCHES) this.#times.shift();
    if (this.#spentMs < SPENT_MS || this.#times.length < BATCHES) return;
    const median = [...this.#times].sort((a, b) => a - b)[Math.floor(BATCHES / 2)] ?? 0;
    // A package that is not built has no thread to start (its own unit tests).
    if (median < SLOW_MS || !existsSync(MAIN)) return;
    this.note(`up() takes ${Math.round(median)} ms of a batch: it runs in ${this.#count} threads from here on`);
    this.#pool = this.#start();
  }

  async #start(): Promise<Piscina | null> {
    try {
      const { Piscina } = await import('piscina');
      const { id, path, phase, checksum, timeoutMs } = this.facts;
      const threads = { minThreads: this.#count, maxThreads: this.#count };
      const pool = new Piscina({ filename: MAIN, ...threads, workerData: { id, path, phase, checksum, timeoutMs } });
      // Of a thread without a task: nobody else would hear of it.
      return pool.on('error', (error) => this.#giveUp(error));
    } catch (error) {
      this.#giveUp(error);
      return null;
    }
  }

  /** What a thread cannot do, this one can, and its errors are the ones that people know. */
  #giveUp(error: unknown): void {
    this.#pool = Promise.resolve(null);
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    const what = error instanceof Error ? error.message : String(error);
    this.note(`a thread failed (${what}): up() runs in the runner's own again`);
  }

  async apply(step: number, documents: readonly StoredDocument[], found: FoundDocuments): Promise<Decision[] | null> {
    const pool = await this.#pool;
    if (!pool || documents.length === 0) return null;
    try {
      return decisionsOf(documents, (await pool.run(taskOf(step, documents, found))) as ThreadAnswer);
    } catch (error) {
      this.#giveUp(error);
      await pool.destroy();
      return null;
    }
  }

  async close(): Promise<void> {
    await (await this.#pool)?.destroy();
  }
}
