/**
 * The sentinel: a process of its own that outlives its runner by a moment. A runner that is killed or stopped inside
 * a transaction leaves the documents of its batch locked, for 60 to 90 s on a server with defaults. The sentinel ends
 * the runner's sessions as soon as the pipe from it closes, when it gives no pulse for 2 s while it holds documents, or
 * when the server has heard nothing of such a session for as long, although its runner lives: the wire between is dead.
 *
 * Input, a line each: first `{uri, sessions: [hex, …]}`; then `+N MS` (session N holds documents, on a wire of this
 * round trip), `-N` (no more), `!N` (end it: the runner cannot reach the server), `.` (pulse), `bye` (all is well).
 * Whatever happens, it ends with its runner.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Binary, MongoClient } from 'mongodb';

/** Longest silence of a runner that holds documents, in ms. */
const SILENCE_MS = 2_000;
const LOOK_MS = 250;
/** What a runner sent just before it died may arrive, and open a transaction, this long after its death, in ms. */
const LATE_MS = 1_000;

interface Orders {
  readonly uri: string;
  readonly sessions: readonly string[];
}

interface Hold {
  readonly since: number;
  /** How long the server may hear nothing, in ms: a slow wire is not a dead one. */
  readonly patienceMs: number;
}

class Sentinel {
  readonly #client: MongoClient;
  readonly #ids: readonly { readonly id: Binary }[];
  readonly #holds = new Map<number, Hold>();
  readonly #ending = new Set<Promise<void>>();
  #lastPulse = performance.now();
  #isAsking = false;

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
    const now = performance.now();
    this.#lastPulse = now;
    const [at, roundTripMs] = line.slice(1).split(' ').map(Number);
    if (line.startsWith('+')) this.#holds.set(at ?? 0, { since: now, patienceMs: SILENCE_MS + 2 * (roundTripMs ?? 0) });
    else if (line.startsWith('-')) this.#holds.delete(at ?? 0);
    else if (line.startsWith('!')) this.#end([at ?? 0]);
  }

  #look(): void {
    const now = performance.now();
    if (this.#holds.size === 0) return;
    if (now - this.#lastPulse >= SILENCE_MS) this.#end([...this.#holds.keys()]);
    const long = [...this.#holds].filter(([, { since, patienceMs }]) => now - since >= patienceMs);
    if (long.length > 0 && !this.#isAsking) void this.#endUnheard(new Map(long));
  }

  /** Of those that hold documents for long, ends the ones of which the server has heard nothing meanwhile. */
  async #endUnheard(long: ReadonlyMap<number, Hold>): Promise<void> {
    this.#isAsking = true;
    try {
      const idle = await this.#idleSessions();
      this.#end(
        [...long].flatMap(([at, { since, patienceMs }]) => {
          const idleMs = idle.get(this.#ids[at]?.id.toString('hex') ?? '') ?? 0;
          return this.#holds.get(at)?.since === since && idleMs >= patienceMs ? [at] : [];
        }),
      );
    } catch {
      // Not answered, or not allowed: there are the runner's own limits, and the server's.
    } finally {
      this.#isAsking = false;
    }
  }

  /** For how long the server has waited for the next statement of each open transaction, in ms. */
  async #idleSessions(): Promise<Map<string, number>> {
    const pipeline = [{ $currentOp: { idleSessions: true, localOps: true } }, { $match: { type: 'idleSession' } }];
    const operations = await this.#client.db('admin').aggregate(pipeline).toArray();
    return new Map(
      operations.map(({ lsid, transaction }) => [
        (lsid.id as Binary).toString('hex'),
        Number(transaction?.timeInactiveMicros ?? 0) / 1_000,
      ]),
    );
  }

  #end(places: readonly number[]): void {
    const ids = places.flatMap((at) => this.#ids[at] ?? []);
    for (const at of places) this.#holds.delete(at);
    if (ids.length === 0) return;
    // Nobody listens any more: when it fails, the server's own limit or the next runner ends the transaction.
    const ending = this.#client
      .db('admin')
      .command({ killSessions: ids })
      .then(
        () => undefined,
        () => undefined,
      );
    this.#ending.add(ending);
    void ending.then(() => this.#ending.delete(ending));
  }

  async leave(isWell: boolean): Promise<void> {
    const all = [...this.#ids.keys()];
    if (!isWell) {
      this.#end(all);
      await sleep(LATE_MS);
      this.#end(all);
    }
    await Promise.all(this.#ending);
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
