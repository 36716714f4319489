/** The process that uses Godwit as a library, as one worker of the campaign sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROCESS = fileURLToPath(new URL('./library-process.mjs', import.meta.url));

export interface Request {
  readonly verb: string;
  readonly uri: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly json?: Record<string, unknown>;
  /** `code` is missing of what is no GodwitError. */
  readonly error?: { readonly code?: string; readonly exitCode?: number; readonly message: string };
}

export class Library {
  #child: ChildProcess | undefined;
  #main: string | undefined;

  /**
   * One thing at a time.
   *
   * @param main dist/cli/main.js of the build
   * @param limitMs after which the process is killed
   */
  async ask(main: string, request: Request, limitMs: number): Promise<Answer> {
    const child = await this.#of(main);
    const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
    const answered = new AbortController();
    const { signal } = answered;
    try {
      child.send(request);
      return await Promise.race([
        once(child, 'message', { signal }).then(([answer]) => answer as Answer),
        once(child, 'exit', { signal }).then(([code, by]) => ({
          error: { message: `the process ended by itself: ${code ?? by}` },
        })),
      ]);
    } finally {
      clearTimeout(limit);
      answered.abort();
    }
  }

  async #of(main: string): Promise<ChildProcess> {
    const isThere = this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
    if (this.#child && isThere && this.#main === main) return this.#child;
    await this.close();
    this.#main = main;
    this.#child = fork(PROCESS, [join(main, '../../index.js')], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    return this.#child;
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
}
