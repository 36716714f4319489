/**
 * The servers of one worker of the campaign, one for each topology that it has met: kept between schedules, killed,
 * stepped down and started again within them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { withDatabase } from '../support/database.js';
import { type Members, startMembers } from '../support/servers.js';
import type { FailingCode, FailingCommand, Topology } from './schedule.js';

/** Of the answers to its oracle, in ms: an election and a restart are shorter. */
const PATIENCE_MS = 30_000;

export class CampaignServer {
  private constructor(
    readonly members: Members,
    readonly client: MongoClient,
    private readonly count: 1 | 3,
  ) {}

  static async start(topology: Topology): Promise<CampaignServer> {
    const count = topology === 'three-node' ? 3 : 1;
    const members = await startMembers({ members: count });
    const options = { appName: 'oracle', serverSelectionTimeoutMS: PATIENCE_MS };
    const client = await new MongoClient(members.server.uri, options).connect();
    return new CampaignServer(members, client, count);
  }

  get uri(): string {
    return this.members.server.uri;
  }

  uriOf(database: string): string {
    return withDatabase(this.uri, database);
  }

  /** SIGKILL of the one that takes writes, and up again on the same port and data. */
  async crash(downMs = 0): Promise<void> {
    const primary = await this.members.primary();
    await this.members.kill(primary);
    await sleep(downMs);
    await this.members.restart(primary);
    await this.client.db('admin').command({ ping: 1 });
  }

  /** No other member hears of a write for so long. */
  async loseMajority(ms: number): Promise<void> {
    const others = await this.members.secondaries();
    await this.members.setReplication(others, false);
    await sleep(ms);
    await this.members.setReplication(others, true);
  }

  /** Up again, whatever has ended it, with nothing failing. */
  async revive(): Promise<void> {
    for (let member = 0; member < this.count; member += 1) {
      const isThere = await this.members.command(member, { ping: 1 }).then(
        () => true,
        () => false,
      );
      if (isThere) continue;
      await this.members.kill(member).catch(() => undefined);
      await this.members.restart(member);
    }
    await this.failNothing();
    await this.members.whole();
  }

  async fail(command: FailingCommand, code: FailingCode, times: number): Promise<void> {
    const how = code === 'close' ? { closeConnection: true } : { errorCode: code };
    await this.#failPoint({ times }, { ...how, failCommands: [command], appName: 'godwit' });
  }

  /** Commits are carried out, and answered as if no majority had confirmed them in time. */
  async failCommitAnswers(): Promise<void> {
    const writeConcernError = { code: 64, errmsg: 'waiting for replication timed out' };
    await this.#failPoint('alwaysOn', { writeConcernError, failCommands: ['commitTransaction'], appName: 'godwit' });
  }

  async failNothing(): Promise<void> {
    for (let member = 0; member < this.count; member += 1) {
      await this.members.failPoint(member, 'failCommand', 'off');
      await this.members.failPoint(member, 'stopReplProducer', 'off');
    }
  }

  async #failPoint(mode: object | string, data: object): Promise<void> {
    await this.members.failPoint(await this.members.primary(), 'failCommand', mode, data);
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.members.close();
  }
}
