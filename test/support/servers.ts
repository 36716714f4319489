/** Servers whose members are killed, stopped and started again under a run: a real replica set, by its pids. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, inject } from 'vitest';
import type { StartEmbeddedOptions } from '../../src/embedded/start.js';
import { until } from './crash.js';
import {
  type Keeper,
  type Reply,
  type Request,
  type RestartOptions,
  type ServerFacts,
  type SharedKind,
  startKept,
  TEST_COMMANDS,
} from './warden.js';

const run = promisify(execFile);

/** Those that tests turn on. */
const FAIL_POINTS = ['failCommand', 'waitAfterCommandFinishesExecution', 'stopReplProducer'];

/** The process is there, and not only as a zombie. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export class Members {
  readonly server: ServerFacts;
  readonly #pids: number[];
  readonly #clients: MongoClient[];

  constructor(private readonly keeper: Keeper) {
    this.server = keeper.facts;
    this.#pids = this.server.members.map(({ pid }) => pid);
    // Impatient: a member that is down must not keep a look at the others waiting.
    const limits = { serverSelectionTimeoutMS: 1_000, socketTimeoutMS: 20_000, heartbeatFrequencyMS: 500 };
    this.#clients = this.server.members.map(
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
  async restart(member: number, options: RestartOptions = {}): Promise<void> {
    this.#pids[member] = await this.keeper.restart(member, options);
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
    return mkdtemp(join(this.server.folder, 'data-'));
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

  /** No command fails, no member is kept from hearing, and one of them takes writes. */
  async mend(): Promise<void> {
    for (let member = 0; member < this.#clients.length; member += 1)
      for (const name of FAIL_POINTS) await this.failPoint(member, name, 'off');
    await this.whole();
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.keeper.stop();
  }
}

/** Starts servers of one's own; `close` ends all of their processes. */
export async function startMembers(options: StartEmbeddedOptions = {}): Promise<Members> {
  return new Members(await startKept({ ...options, args: [...TEST_COMMANDS, ...(options.args ?? [])] }));
}

/** Starts servers of the file's own before its tests, for arguments that no other file wants. */
export function useMembers(options: StartEmbeddedOptions): () => Members {
  let members: Members | undefined;
  beforeAll(async () => {
    members = await startMembers(options);
  });
  afterAll(() => members?.close());
  return () => {
    if (!members) throw new Error('to be called inside a test or a hook');
    return members;
  };
}

/** A shared server, until `stop` gives it back. */
export async function takeShared(kind: SharedKind): Promise<Keeper> {
  const socket = connect(inject('wardenPort'), '127.0.0.1');
  const lines = createInterface({ input: socket });
  const ask = async (request: Request): Promise<Reply> => {
    socket.write(`${JSON.stringify(request)}\n`);
    const [line] = (await once(lines, 'line')) as [string];
    const reply = JSON.parse(line) as Reply;
    if ('failed' in reply) throw new Error(reply.failed);
    return reply;
  };
  const reply = await ask({ take: kind });
  if (!('facts' in reply)) throw new Error('the warden answered something else');
  return {
    facts: reply.facts,
    async restart(member, options = {}) {
      const restarted = await ask({ restart: { ...options, member } });
      return 'pid' in restarted ? restarted.pid : 0;
    },
    async stop() {
      socket.destroy();
    },
  };
}

/**
 * The shared server with fail points (`one`), or the shared set of three, for the tests of a file. Another file that
 * asks for it waits. Each test takes a database of its own, and leaves the server as it found it.
 */
export function useSharedMembers(kind: 'one' | 'three'): () => Members {
  let members: Members | undefined;
  beforeAll(async () => {
    members = new Members(await takeShared(kind));
    await members.whole();
  });
  afterAll(async () => {
    await members?.mend().finally(() => members?.close());
  });
  return () => {
    if (!members) throw new Error('to be called inside a test or a hook');
    return members;
  };
}
