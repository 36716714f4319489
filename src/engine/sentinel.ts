/** The runner's end of the pipe to its sentinel (mongo/sentinel-main.ts says what that is for). */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ClientSession } from 'mongodb';
import { sessionId } from '../mongo/leases.js';

const MAIN = fileURLToPath(new URL('../mongo/sentinel-main.js', import.meta.url));

/** A pulse at least this often while documents are held, in ms: well below the sentinel's patience of 2 s. */
const PULSE_MS = 400;

/** Told by a batch when its session begins and ceases to hold documents. */
export interface Watch {
  /** @param roundTripMs how long the last statement took that has little to do */
  hold(session: ClientSession, roundTripMs: number): void;
  release(session: ClientSession): void;
  /** Ends what the session has open on the server, if it can be reached from another connection. */
  end(session: ClientSession): void;
}

/** Watches nothing: where there is no built sentinel to start. */
export const NO_WATCH: Watch = { hold: () => undefined, release: () => undefined, end: () => undefined };

export class Sentinel implements Watch {
  readonly #child: ChildProcess;
  readonly #places: ReadonlyMap<ClientSession, number>;
  readonly #holding = new Set<number>();
  readonly #timer: NodeJS.Timeout;

  private constructor(uri: string, sessions: readonly ClientSession[]) {
    this.#places = new Map(sessions.map((session, at) => [session, at]));
    // Detached: a group of its own, so that killing the runner's group leaves it alive. The pid is for people: `ps`
    // shows whose sentinel it is.
    this.#child = spawn(process.execPath, [MAIN, String(process.pid)], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#child.unref();
    // A sentinel that died is no reason to stop: the lease still protects the data, only waits get longer.
    this.#child.on('error', () => undefined);
    this.#child.stdin?.on('error', () => undefined);
    this.#write(JSON.stringify({ uri, sessions: sessions.map((session) => sessionId(session).toString('hex')) }));
    this.#timer = setInterval(() => {
      if (this.#holding.size > 0) this.#write('.');
    }, PULSE_MS);
    this.#timer.unref();
  }

  /** Starts the sentinel of these sessions; undefined when this package is not built (its own unit tests). */
  static start(uri: string, sessions: readonly ClientSession[]): Sentinel | undefined {
    return existsSync(MAIN) ? new Sentinel(uri, sessions) : undefined;
  }

  #write(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  hold(session: ClientSession, roundTripMs: number): void {
    const at = this.#places.get(session);
    if (at === undefined) return;
    this.#holding.add(at);
    this.#write(`+${at} ${Math.ceil(roundTripMs)}`);
  }

  release(session: ClientSession): void {
    const at = this.#places.get(session);
    if (at === undefined || !this.#holding.delete(at)) return;
    this.#write(`-${at}`);
  }

  /** Writers must not wait for what this process holds and cannot end itself. */
  endHeld(): void {
    for (const at of this.#holding) this.#write(`!${at}`);
  }

  end(session: ClientSession): void {
    const at = this.#places.get(session);
    if (at !== undefined) this.#write(`!${at}`);
  }

  /** All is well: the sentinel leaves without doing anything. */
  close(): void {
    clearInterval(this.#timer);
    this.#child.stdin?.end('bye\n');
  }
}
