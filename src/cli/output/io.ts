/** The two streams of a terminal program. The only place that writes to them. */
import { styleText } from 'node:util';
import type { Surroundings, Terminal } from '../surroundings.js';

export type Style = 'ok' | 'run' | 'fail' | 'bold' | 'added' | 'removed';

const FORMATS = { ok: 'green', run: 'cyan', fail: 'red', bold: 'bold', added: 'cyan', removed: 'magenta' } as const;

export interface IoOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly color: boolean;
}

/** Paints a text for one stream; colour only ever repeats what signs and words say. */
export type Paint = (style: Style, text: string) => string;

export class Io {
  constructor(
    readonly options: IoOptions,
    private readonly surroundings: Pick<Surroundings, 'stdout' | 'stderr' | 'now'>,
  ) {}

  get stdout(): Terminal {
    return this.surroundings.stdout;
  }

  get stderr(): Terminal {
    return this.surroundings.stderr;
  }

  /** The time that is shown. */
  now(): Date {
    return this.surroundings.now();
  }

  #painter(stream: Terminal): Paint {
    return (style, text) => (this.options.color ? styleText(FORMATS[style], text, { stream }) : text);
  }

  get paint(): Paint {
    return this.#painter(this.stdout);
  }

  get paintErr(): Paint {
    return this.#painter(this.stderr);
  }

  /** Width of the report, in columns: that of the terminal up to 100, or 100. */
  get columns(): number {
    return Math.min(100, (this.stdout.isTTY ? this.stdout.columns : undefined) ?? 100);
  }

  /** True where a text `_id` may be shown: on a terminal. */
  get clear(): boolean {
    return this.stdout.isTTY === true;
  }

  /** The result of a verb for people; not with --json. */
  print(lines: readonly string[]): void {
    if (!this.options.json && lines.length > 0) this.stdout.write(`${lines.join('\n')}\n`);
  }

  /** The one JSON document of a verb; only with --json. */
  json(value: unknown): void {
    if (this.options.json) this.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** A live frame that is on the terminal now: everything else on stderr is written above it. */
  frame: { hide(): void; draw(): void } | null = null;

  #above(text: string): void {
    this.frame?.hide();
    this.stderr.write(`${text}\n`);
    this.frame?.draw();
  }

  /** Beside the result: what happens, warnings. On stderr, not with --quiet. */
  note(text: string): void {
    if (!this.options.quiet) this.#above(text);
  }

  /** Errors: on stderr, always. */
  error(lines: readonly string[]): void {
    this.#above(lines.join('\n'));
  }
}
