/** The server of one worker of the campaign: kept between schedules, killed and restarted within them. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { type EmbeddedServer, startEmbedded } from '../../src/embedded/start.js';
import { withDatabase } from '../support/database.js';
import type { FailingCode, FailingCommand } from './schedule.js';

/** For fail points. */
const ARGS = ['--setParameter', 'enableTestCommands=1'];

export class CampaignServer {
  private constructor(
    private readonly dbPath: string,
    private server: EmbeddedServer,
    readonly client: MongoClient,
  ) {}

  static async start(): Promise<CampaignServer> {
    const dbPath = await mkdtemp(join(tmpdir(), 'godwit-campaign-'));
    const server = await startEmbedded({ dbPath, args: ARGS });
    const client = await new MongoClient(server.uri, { appName: 'oracle', serverSelectionTimeoutMS: 30_000 }).connect();
    return new CampaignServer(dbPath, server, client);
  }

  get uri(): string {
    return this.server.uri;
  }

  uriOf(database: string): string {
    return withDatabase(this.server.uri, database);
  }

  /** SIGKILL, and up again on the same port and data. */
  async crash(): Promise<void> {
    const { port, pid } = this.server;
    if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
    await this.server.stop();
    this.server = await startEmbedded({ dbPath: this.dbPath, port, args: ARGS });
    await this.client.db('admin').command({ ping: 1 });
  }

  /** Up again, when something else than `crash` has ended it. */
  async revive(): Promise<void> {
    const isThere = await this.client
      .db('admin')
      .command({ ping: 1 }, { timeoutMS: 2_000 })
      .then(
        () => true,
        () => false,
      );
    if (!isThere) await this.crash();
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
    await this.client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' });
  }

  async #failPoint(mode: object | string, data: object): Promise<void> {
    await this.client.db('admin').command({ configureFailPoint: 'failCommand', mode, data });
  }

  async stop(): Promise<void> {
    await this.client.close();
    if (existsSync(`/proc/${this.server.pid}`)) process.kill(this.server.pid, 'SIGKILL');
    await this.server.stop();
    await rm(this.dbPath, { recursive: true, force: true });
  }
}
