/**
 * The sentinel: a process of its own that outlives its runner by a moment. A runner that is killed or stopped inside
 * a transaction leaves the documents of its batch locked, for 60 to 90 s on a server with defaults. The sentinel ends
 * the runner's sessions as soon as the pipe from it closes, or when it gives no pulse for 2 s while it holds documents.
 *
 * Input, a line each: first `{uri, sessions: [hex, …]}`; then `+N` (session N holds documents), `-N` (no more), `!N`
 * (end it: the runner cannot reach the server), `.` (pulse), `bye` (all is well). Whatever happens, it ends with its runner.
 */
import { createInterface } from 'node:readline';
import { Binary, MongoClient } from 'mongodb';

/** Longest silence of a runner that holds documents, in ms. */
const SILENCE_MS = 2_000;
const LOOK_MS = 250;

interface Orders {
  readonly uri: string;
  readonly sessions: readonly string[];
}

class Sentinel {
  readonly #client: MongoClient;
  readonly #ids: readonly { readonly id: Binary }[];
  readonly #holding = new Set<number>();
  #lastPulse = performance.now();

  constructor({ uri, sessions }: Orders) {
    this.#client = new MongoClient(uri, {
      appName: 'godwit-sentinel',
      maxPoolSize: 1,
      serverSelectionTimeoutMS: 5_000,
    });
    this.#ids = sessions.map((hex) => ({ id: new Binary(Buffer.from(hex, 'hex'), 4) }));
    setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** Connected before it is needed: a new connection takes longer than the rest. */
  async connect(): Promise<void> {
    await this.#client.connect();
  }

  hear(line: string): void {
    this.#lastPulse = performance.now();
    if (line.startsWith('+')) this.#holding.add(Number(line.slice(1)));
    else if (line.startsWith('-')) this.#holding.delete(Number(line.slice(1)));
    else if (line.startsWith('!')) void this.#end(this.#ids.slice(Number(line.slice(1))).slice(0, 1));
  }

  #look(): void {
    if (this.#holding.size === 0 || performance.now() - this.#lastPulse < SILENCE_MS) return;
    const silent = [...this.#holding].flatMap((at) => this.#ids[at] ?? []);
    this.#holding.clear();
    void this.#end(silent);
  }

  async #end(ids: readonly { readonly id: Binary }[]): Promise<void> {
    if (ids.length === 0) return;
    // Nobody listens any more: when it fails, the server's own limit or the next runner ends the transaction.
    await this.#client
      .db('admin')
      .command({ killSessions: [...ids] })
      .catch(() => undefined);
  }

  async leave(isWell: boolean): Promise<void> {
    if (!isWell) await this.#end(this.#ids);
    await this.#client.close().catch(() => undefined);
  }
}

async function main(): Promise<void> {
  // The terminal's Ctrl-C reaches the whole group: the runner decides, and the sentinel goes when it goes.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  let sentinel: Sentinel | undefined;
  let isWell = false;
  for await (const line of createInterface({ input: process.stdin })) {
    if (!sentinel) {
      sentinel = new Sentinel(JSON.parse(line) as Orders);
      await sentinel.connect().catch(() => undefined);
    } else if (line === 'bye') isWell = true;
    else sentinel.hear(line);
  }
  await sentinel?.leave(isWell);
}

await main();
