/** Plays schedules a few at a time, each worker with servers of its own: fail points and crashes are the server's. */
import { Library } from './library.js';
import { type Played, play } from './play.js';
import type { Schedule, Topology } from './schedule.js';
import { CampaignServer } from './server.js';

/** One worker's servers, each started when the first schedule asks for it, and its process with the library. */
interface Worker {
  readonly servers: Map<Topology, CampaignServer>;
  readonly library: Library;
}

async function serverFor({ servers }: Worker, { topology }: Schedule): Promise<CampaignServer> {
  const server = servers.get(topology) ?? (await CampaignServer.start(topology));
  servers.set(topology, server);
  return server;
}

export class Crew implements AsyncDisposable {
  private constructor(private readonly workers: readonly Worker[]) {}

  static async start(size: number): Promise<Crew> {
    return new Crew(Array.from({ length: size }, () => ({ servers: new Map(), library: new Library() })));
  }

  /**
   * Plays until the schedules are through, or `onPlayed` says that this is enough.
   *
   * @param onPlayed in the order in which they end; true: no further ones
   */
  async play(
    schedules: readonly Schedule[],
    main: string,
    onPlayed: (played: Played) => boolean | undefined,
  ): Promise<void> {
    const queue = [...schedules];
    let isEnough = false;
    const work = async (worker: Worker): Promise<void> => {
      for (let schedule = queue.shift(); schedule && !isEnough; schedule = queue.shift()) {
        if (onPlayed(await this.#playOn(worker, schedule, main))) isEnough = true;
      }
    };
    await Promise.all(this.workers.map(work));
  }

  async playOne(schedule: Schedule, main: string): Promise<Played> {
    const [worker] = this.workers;
    if (!worker) throw new Error('wanted a worker, found none');
    return this.#playOn(worker, schedule, main);
  }

  /** What can't be played to its end has failed, too: a server that is gone, a document that can't be read. */
  async #playOn(worker: Worker, schedule: Schedule, main: string): Promise<Played> {
    const startedAt = performance.now();
    const server = await serverFor(worker, schedule);
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
