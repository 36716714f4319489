/** Plays schedules a few at a time, each worker with servers of its own: fail points and crashes are the server's. */
import { type Played, play } from './play.js';
import type { Schedule, Topology } from './schedule.js';
import { CampaignServer } from './server.js';

/** One worker's servers, each started when the first schedule asks for it. */
type Servers = Map<Topology, CampaignServer>;

async function serverFor(servers: Servers, { topology }: Schedule): Promise<CampaignServer> {
  const server = servers.get(topology) ?? (await CampaignServer.start(topology));
  servers.set(topology, server);
  return server;
}

export class Crew implements AsyncDisposable {
  private constructor(private readonly workers: readonly Servers[]) {}

  static async start(size: number): Promise<Crew> {
    return new Crew(Array.from({ length: size }, () => new Map<Topology, CampaignServer>()));
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
    const work = async (servers: Servers): Promise<void> => {
      for (let schedule = queue.shift(); schedule && !isEnough; schedule = queue.shift()) {
        if (onPlayed(await this.#playOn(servers, schedule, main))) isEnough = true;
      }
    };
    await Promise.all(this.workers.map(work));
  }

  async playOne(schedule: Schedule, main: string): Promise<Played> {
    const [servers] = this.workers;
    if (!servers) throw new Error('wanted a worker, found none');
    return this.#playOn(servers, schedule, main);
  }

  /** What can't be played to its end has failed, too: a server that is gone, a document that can't be read. */
  async #playOn(servers: Servers, schedule: Schedule, main: string): Promise<Played> {
    const startedAt = performance.now();
    const server = await serverFor(servers, schedule);
    try {
      return await play(schedule, server, main);
    } catch (error) {
      await server.revive();
      const found = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const violations = [{ invariant: 'I16', expected: 'the schedule played to its end', found }];
      const seconds = (performance.now() - startedAt) / 1_000;
      return { schedule, violations, timeline: [found], hits: [], seconds };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.workers.flatMap((servers) => [...servers.values()]).map((server) => server.stop()));
  }
}
