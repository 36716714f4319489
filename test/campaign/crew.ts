/** Plays schedules a few at a time, each worker with a server of its own: fail points and crashes are the server's. */
import { type Played, play } from './play.js';
import type { Schedule } from './schedule.js';
import { CampaignServer } from './server.js';

export class Crew implements AsyncDisposable {
  private constructor(private readonly servers: readonly CampaignServer[]) {}

  static async start(size: number): Promise<Crew> {
    return new Crew(await Promise.all(Array.from({ length: size }, () => CampaignServer.start())));
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
    const work = async (server: CampaignServer): Promise<void> => {
      for (let schedule = queue.shift(); schedule && !isEnough; schedule = queue.shift()) {
        if (onPlayed(await this.#playOn(server, schedule, main))) isEnough = true;
      }
    };
    await Promise.all(this.servers.map(work));
  }

  async playOne(schedule: Schedule, main: string): Promise<Played> {
    const [server] = this.servers;
    if (!server) throw new Error('wanted a server, found none');
    return this.#playOn(server, schedule, main);
  }

  /** What can't be played to its end has failed, too: a server that is gone, a document that can't be read. */
  async #playOn(server: CampaignServer, schedule: Schedule, main: string): Promise<Played> {
    const startedAt = performance.now();
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
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}
