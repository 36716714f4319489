/** Ctrl-C, SIGTERM and SIGHUP as an AbortSignal whose reason says which; a second Ctrl-C leaves at once. */
import { GodwitError } from '../errors.js';
import type { Io } from './output/io.js';
import type { Surroundings } from './surroundings.js';

/** How long the second Ctrl-C waits for open transactions to be ended, in ms. */
const LEAVE_MS = 1_000;

export class Interrupts {
  readonly #controller = new AbortController();
  readonly #handlers: readonly (readonly [NodeJS.Signals, () => void])[];
  #abort: (() => Promise<void>) | undefined;

  constructor(
    private readonly io: Io,
    private readonly surroundings: Pick<Surroundings, 'signals' | 'exit'>,
  ) {
    this.#handlers = [
      ['SIGINT', () => this.#interrupt()],
      ['SIGTERM', () => this.#stop('SIGTERM')],
      ['SIGHUP', () => this.#stop('SIGHUP')],
    ];
    for (const [signal, handler] of this.#handlers) this.surroundings.signals.on(signal, handler);
    this.surroundings.signals.on('unhandledRejection', this.#escaped);
    this.surroundings.signals.on('uncaughtException', this.#escaped);
  }

  /** An error that nobody waited for: what is under way stops, and the command cannot end well. */
  escape: GodwitError | undefined;

  readonly #escaped = (thrown: unknown): void => {
    const error = thrown instanceof Error ? thrown : new Error('something that is no error');
    const place = error.stack
      ?.split('\n')
      .find((line) => /\.[cm]?[jt]s:\d+/.test(line))
      ?.trim();
    this.escape ??= new GodwitError(
      'GODWIT_TRANSFORM_ESCAPED',
      `an error escaped from the migration's code (${error.name}${place === undefined ? '' : `, ${place}`})`,
      {
        next: [
          'mend the file: up() must be synchronous and start nothing',
          'godwit amend ID --because "…"',
          'godwit run ID',
        ],
        cause: error,
      },
    );
    this.#controller.abort(this.escape);
  };

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What a second Ctrl-C does before it leaves. */
  onLeave(abort: () => Promise<void>): void {
    this.#abort = abort;
  }

  #interrupt(): void {
    if (this.signal.aborted) {
      this.#leave();
      return;
    }
    this.io.note('^C stopping: the batch under way is being finished (normally under 1 s).');
    this.io.note('   A second Ctrl-C leaves at once; that is equally safe, the batch is then undone.');
    this.#controller.abort(
      new GodwitError(
        'GODWIT_INTERRUPTED',
        'interrupted by Ctrl-C; the batch under way was finished, the cursor is saved',
      ),
    );
  }

  #leave(): void {
    const leave = (): void => this.surroundings.exit(130);
    this.io.note('^C left at once; nothing is half-written');
    setTimeout(leave, LEAVE_MS).unref();
    void (this.#abort?.() ?? Promise.resolve()).finally(leave);
  }

  #stop(name: string): void {
    if (!this.signal.aborted)
      this.#controller.abort(
        new GodwitError(
          'GODWIT_STOPPED',
          `stopped on request (${name}); the batch under way was finished, the cursor is saved`,
        ),
      );
  }

  dispose(): void {
    for (const [signal, handler] of this.#handlers) this.surroundings.signals.off(signal, handler);
    this.surroundings.signals.off('unhandledRejection', this.#escaped);
    this.surroundings.signals.off('uncaughtException', this.#escaped);
  }
}
