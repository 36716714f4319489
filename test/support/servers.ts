/** Servers whose members are killed, stopped and started again under a run: a real replica set, by its pids. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll } from 'vitest';
import { findMongod } from '../../src/embedded/find-mongod.js';
import { type Janitor, startJanitor } from '../../src/embedded/janitor.js';
import { startMongod } from '../../src/embedded/mongod-process.js';
import { type EmbeddedServer, type StartEmbeddedOptions, startEmbedded } from '../../src/embedded/start.js';
import { until } from './crash.js';

const run = promisify(execFile);

/** For fail points: the server then lets tests hold, refuse and forget what it is told. */
export const TEST_COMMANDS = ['--setParameter', 'enableTestCommands=1'] as const;

/** The process is there, and not only as a zombie. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export interface RestartOptions {
  readonly dbPath?: string | undefined;
  /** As if somebody had forgotten the name of the set. */
  readonly isStandalone?: boolean;
}

export class Members {
  readonly #pids: number[];
  readonly #clients: MongoClient[];
  #starts = 0;

  constructor(
    readonly server: EmbeddedServer,
    private readonly janitor: Janitor,
    private readonly folder: string,
    private readonly args: readonly string[],
  ) {
    this.#pids = server.members.map(({ pid }) => pid);
    // Impatient: a member that is down must not keep a look at the others waiting.
    const limits = { serverSelectionTimeoutMS: 1_000, socketTimeoutMS: 20_000, heartbeatFrequencyMS: 500 };
    this.#clients = server.members.map(
      ({ port }) => new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, limits),
    );
  }

  #pid(member: number): number {
    const pid = this.#pids[member];
    if (!pid) throw new Error('wanted one of the members');
    return pid;
  }

  /** A command to this member, whatever its state is. */
  command(member: number, command: Document, database = 'admin'): Promise<Document> {
    const client = this.#clients[member];
    if (!client) throw new Error('wanted one of the members');
    return client.db(database).command(command);
  }

  /** Which member takes writes; waits until one does. */
  async primary(): Promise<number> {
    let found = -1;
    await until(async () => {
      const hellos = await Promise.all(
        this.#clients.map((_, member) => this.command(member, { hello: 1 }).catch(() => ({}) as Document)),
      );
      found = hellos.findIndex((hello) => hello['isWritablePrimary'] === true);
      return found >= 0;
    });
    return found;
  }

  /** The server as one that holds the data is asked for directly: the URI of the member that takes writes. */
  async primaryUri(): Promise<string> {
    return `mongodb://127.0.0.1:${this.server.members[await this.primary()]?.port}/?directConnection=true`;
  }

  async secondaries(): Promise<number[]> {
    const primary = await this.primary();
    return this.#clients.map((_, member) => member).filter((member) => member !== primary);
  }

  /** Resolves when one member takes writes and all others follow it: a test begins with a whole set. */
  whole(): Promise<void> {
    return until(async () => {
      const hellos = await Promise.all(
        this.#clients.map((_, member) => this.command(member, { hello: 1 }).catch(() => ({}) as Document)),
      );
      const primaries = hellos.filter((hello) => hello['isWritablePrimary'] === true);
      return primaries.length === 1 && hellos.every((hello) => hello['isWritablePrimary'] || hello['secondary']);
    }, 60_000);
  }

  signal(member: number, signal: NodeJS.Signals): void {
    process.kill(this.#pid(member), signal);
  }

  async kill(member: number): Promise<void> {
    this.signal(member, 'SIGKILL');
    await this.ended(member);
  }

  /** Resolves when the member is gone, killed or by itself. */
  ended(member: number): Promise<void> {
    return until(() => !isAlive(this.#pid(member)), 60_000);
  }

  /** On its old port; with its old data unless another folder is given. Waits until it listens. */
  async restart(
    member: number,
    { dbPath = this.server.members[member]?.dbPath, isStandalone = false }: RestartOptions = {},
  ): Promise<void> {
    const { port } = this.server.members[member] ?? {};
    if (!dbPath || !port) throw new Error('wanted one of the members');
    this.#starts += 1;
    const logPath = join(this.folder, `again-${this.#starts}.log`);
    const { path: binary } = await findMongod();
    const args = [...(isStandalone ? [] : ['--replSet', this.server.setName ?? '']), ...this.args];
    this.#pids[member] = (await startMongod({ binary, port, dbPath, logPath, args }, this.janitor)).pid;
  }

  /**
   * From now on the member's largest file may grow by so much only, and no other file beyond that size; it dies when one
   * would: what a full disk does, without a disk of one's own. Until it is started again.
   */
  async leaveRoom(member: number, bytes: number): Promise<void> {
    const dbPath = this.server.members[member]?.dbPath;
    if (!dbPath) throw new Error('wanted one of the members');
    const files = await readdir(dbPath, { recursive: true });
    // A checkpoint's own files come and go.
    const sizeOf = (file: string): Promise<number> =>
      stat(join(dbPath, file)).then(
        ({ size }) => size,
        () => 0,
      );
    const sizes = await Promise.all(files.map(sizeOf));
    await run('prlimit', ['--pid', String(this.#pid(member)), `--fsize=${Math.max(...sizes) + bytes}`]);
  }

  /** An empty data folder, removed at the end. */
  emptyFolder(): Promise<string> {
    return mkdtemp(join(this.folder, 'data-'));
  }

  async stepDown(): Promise<void> {
    const primary = await this.primary();
    await this.command(primary, { replSetStepDown: 5, secondaryCatchUpPeriodSecs: 3 });
  }

  /** Turns a fail point on, or off by the mode `off`. */
  async failPoint(member: number, name: string, mode: Document | string, data: Document = {}): Promise<void> {
    await this.command(member, { configureFailPoint: name, mode, ...(mode === 'off' ? {} : { data }) });
  }

  /** Lets these members hear of what the primary writes, or keeps them from it. */
  async setReplication(members: readonly number[], isOn: boolean): Promise<void> {
    for (const member of members) await this.failPoint(member, 'stopReplProducer', isOn ? 'off' : 'alwaysOn');
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.janitor.finish();
    await this.server.stop();
  }
}

/** Starts them; `close` ends all of their processes. */
export async function startMembers(options: StartEmbeddedOptions = {}): Promise<Members> {
  const args = [...TEST_COMMANDS, ...(options.args ?? [])];
  const server = await startEmbedded({ ...options, args });
  const folder = await mkdtemp(join(tmpdir(), 'godwit-members-'));
  return new Members(server, startJanitor(folder), folder, args);
}

/** Starts them before the tests of a file; all of their processes are gone at its end. */
export function useMembers(options: StartEmbeddedOptions = {}): () => Members {
  let members: Members | undefined;
  beforeAll(async () => {
    members = await startMembers(options);
  });
  afterAll(() => members?.close());
  return () => {
    if (!members) throw new Error('wanted to be called inside a test or a hook');
    return members;
  };
}
