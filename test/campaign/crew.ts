/** Plays schedules a few at a time, each worker with servers of its own: fail points and crashes are the server's. */
import { Library } from './library.js';
import { type PlayedMerge, playMerge } from './merge/play.js';
import type { MergeSchedule } from './merge/schedule.js';
import { type Played, play } from './play.js';
import type { Schedule, Topology } from './schedule.js';
import { CampaignServer } from './server.js';

/** One worker's servers, each started when the first schedule asks for it, and its process with the library. */
interface Worker {
  readonly servers: Map<Topology, CampaignServer>;
  readonly library: Library;
}

async function serverFor({ servers }: Worker, topology: Topology): Promise<CampaignServer> {
  const server = servers.get(topology) ?? (await CampaignServer.start(topology));
  servers.set(topology, server);
  return server;
}

export class Crew implements AsyncDisposable {
  /** Those that play nothing, and who waits for one: callers may overlap. */
  readonly #free: Worker[];
  readonly #waiting: ((worker: Worker) => void)[] = [];

  private constructor(private readonly workers: readonly Worker[]) {
    this.#free = [...workers];
  }

  static async start(size: number): Promise<Crew> {
    return new Crew(Array.from({ length: size }, () => ({ servers: new Map(), library: new Library() })));
  }

  /**
   * Plays until the schedules are through, or `onPlayed` says that this is enough.
   *
   * @param onPlayed in the order in which they end; true: no further ones
   */
  play(schedules: readonly Schedule[], main: string, onPlayed: (played: Played) => boolean | undefined): Promise<void> {
    return this.#each(schedules, async (worker, schedule) => onPlayed(await this.#playOn(worker, schedule, main)));
  }

  /** The same of schedules of merges. */
  playMerges(
    schedules: readonly MergeSchedule[],
    main: string,
    onPlayed: (played: PlayedMerge) => boolean | undefined,
  ): Promise<void> {
    return this.#each(schedules, async (worker, schedule) =>
      onPlayed(await playMerge(schedule, { server: await serverFor(worker, 'one-node'), main })),
    );
  }

  async playOne(schedule: Schedule, main: string): Promise<Played> {
    return this.#with((worker) => this.#playOn(worker, schedule, main));
  }

  /** @param work true: no further ones */
  async #each<T>(all: readonly T[], work: (worker: Worker, one: T) => Promise<boolean | undefined>): Promise<void> {
    const queue = [...all];
    let isEnough = false;
    const next = async (worker: Worker): Promise<void> => {
      const one = isEnough ? undefined : queue.shift();
      if (one !== undefined && (await work(worker, one))) isEnough = true;
    };
    const workOff = async (): Promise<void> => {
      while (queue.length > 0 && !isEnough) await this.#with(next);
    };
    await Promise.all(this.workers.map(workOff));
  }

  async #with<T>(work: (worker: Worker) => Promise<T>): Promise<T> {
    const worker = this.#free.shift() ?? (await new Promise<Worker>((resolve) => this.#waiting.push(resolve)));
    try {
      return await work(worker);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(worker);
      else this.#free.push(worker);
    }
  }

  /** What can't be played to its end has failed, too: a server that is gone, a document that can't be read. */
  async #playOn(worker: Worker, schedule: Schedule, main: string): Promise<Played> {
    const startedAt = performance.now();
    const server = await serverFor(worker, schedule.topology);
    try {
      return await play(schedule, { server, library: worker.library, main });
    } catch (error) {
      await server.revive();
      const found = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const violations = [{ invariant: 'I16', expected: 'the schedule played to its end', found }];
      const seconds = (performance.now() - startedAt) / 1_000;
      return { schedule, violations, timeline: [found], hits: [], seconds };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.workers.map(({ library }) => library.close()));
    await Promise.all(this.workers.flatMap(({ servers }) => [...servers.values()]).map((server) => server.stop()));
  }
}
