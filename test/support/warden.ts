/**
 * The servers that test files share, kept by the process that runs them all: started when the first file asks, ended at
 * the end. A connection to the warden is a hold: who closes it, or dies, has given the server back. A server whose members
 * are killed and whose commands are made to fail is held by one file at a time; the one with users by as many as like.
 *
 * A line of JSON each way: `{"take": KIND}` is answered by its description, `{"restart": …}` by the new pid.
 */
import { mkdtemp } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { findMongod } from '../../src/embedded/find-mongod.js';
import { startJanitor } from '../../src/embedded/janitor.js';
import { startMongod } from '../../src/embedded/mongod-process.js';
import { type EmbeddedServer, type StartEmbeddedOptions, startEmbedded } from '../../src/embedded/start.js';

/** For fail points: the server then lets tests hold, refuse and forget what it is told. */
export const TEST_COMMANDS = ['--setParameter', 'enableTestCommands=1'] as const;

export const ROOT = { user: 'root', password: 'root-of-the-tests' } as const;

/** `auth`: with users. `one`: one node with fail points. `three`: three of them. */
export type SharedKind = 'auth' | 'one' | 'three';

const KINDS: Readonly<Record<SharedKind, StartEmbeddedOptions & { readonly isExclusive: boolean }>> = {
  auth: { auth: ROOT, isExclusive: false },
  one: { args: TEST_COMMANDS, isExclusive: true },
  three: { members: 3, args: TEST_COMMANDS, isExclusive: true },
};

/** What a test needs to know of a server. */
export type ServerFacts = Pick<EmbeddedServer, 'uri' | 'rootUri' | 'setName' | 'folder'> & {
  readonly members: readonly { readonly port: number; readonly pid: number; readonly dbPath: string }[];
};

export interface RestartOptions {
  readonly dbPath?: string | undefined;
  /** As if somebody had forgotten the name of the set. */
  readonly isStandalone?: boolean;
}

/** A server whose members can be started again. */
export interface Keeper {
  readonly facts: ServerFacts;
  /** On the old port; with its old data unless another folder is given. Waits until it listens. @returns its pid */
  restart(member: number, options?: RestartOptions): Promise<number>;
  stop(): Promise<void>;
}

export async function startKept(options: StartEmbeddedOptions): Promise<Keeper> {
  const server = await startEmbedded(options);
  const folder = await mkdtemp(join(tmpdir(), 'godwit-members-'));
  const janitor = startJanitor(folder);
  const pids = server.members.map(({ pid }) => pid);
  let starts = 0;
  return {
    get facts() {
      const members = server.members.map((member, at) => ({ ...member, pid: pids[at] ?? member.pid }));
      return { uri: server.uri, rootUri: server.rootUri, setName: server.setName, folder, members };
    },
    async restart(member, { dbPath = server.members[member]?.dbPath, isStandalone = false } = {}) {
      const { port } = server.members[member] ?? {};
      if (!dbPath || !port) throw new Error(`there is no member ${member}`);
      starts += 1;
      const logPath = join(folder, `again-${starts}.log`);
      const { path: binary } = await findMongod();
      const args = [...(isStandalone ? [] : ['--replSet', server.setName ?? '']), ...(options.args ?? [])];
      const { pid } = await startMongod({ binary, port, dbPath, logPath, args }, janitor);
      pids[member] = pid;
      return pid;
    },
    async stop() {
      await janitor.finish();
      await server.stop();
    },
  };
}

export type Request =
  | { readonly take: SharedKind }
  | { readonly restart: RestartOptions & { readonly member: number } };

export type Reply = { readonly facts: ServerFacts } | { readonly pid: number } | { readonly failed: string };

export class Warden {
  readonly #keepers = new Map<SharedKind, Promise<Keeper>>();
  /** Settles when the last one who asked for it has given it back. */
  readonly #turns = new Map<SharedKind, Promise<unknown>>();

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => this.#hear(socket));
  }

  static async start(): Promise<Warden> {
    const server = createServer();
    await new Promise<void>((done) => {
      server.listen(0, '127.0.0.1', done);
    });
    server.unref();
    return new Warden(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  #hear(socket: Socket): void {
    const closed = new Promise<void>((done) => {
      socket.once('close', () => done());
    });
    socket.on('error', () => socket.destroy());
    let keeper: Keeper | undefined;
    createInterface({ input: socket }).on('line', (line) => {
      const request = JSON.parse(line) as Request;
      const answer = async (): Promise<Reply> => {
        if ('take' in request) {
          keeper = await this.#take(request.take, closed);
          return { facts: keeper.facts };
        }
        if (!keeper) throw new Error('a member is started again by who has taken its server');
        return { pid: await keeper.restart(request.restart.member, request.restart) };
      };
      void answer()
        .catch((error: unknown): Reply => ({ failed: String(error) }))
        .then((reply) => socket.write(`${JSON.stringify(reply)}\n`));
    });
  }

  async #take(kind: SharedKind, closed: Promise<void>): Promise<Keeper> {
    const { isExclusive, ...options } = KINDS[kind];
    if (isExclusive) {
      const turn = this.#turns.get(kind);
      this.#turns.set(kind, Promise.all([turn, closed]));
      await turn;
    }
    const keeper = this.#keepers.get(kind) ?? startKept(options);
    this.#keepers.set(kind, keeper);
    return keeper;
  }

  async stop(): Promise<void> {
    this.server.close();
    await Promise.all([...this.#keepers.values()].map(async (keeper) => (await keeper).stop()));
  }
}
