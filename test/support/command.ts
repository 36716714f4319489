/**
 * The command in the test's own process: the same `main` as `godwit`, with streams and an environment of its own. A tenth
 * of the time of a process. What only a process has (a pid, signals, a sentinel) is in process.ts.
 */
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { main } from '../../src/cli/command-line.js';

export interface CommandOptions {
  readonly cwd: string;
  readonly uri?: string | undefined;
  readonly env?: NodeJS.ProcessEnv;
}

export interface CommandResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Call {
  /** Settles when the command has ended. */
  readonly end: Promise<CommandResult>;
  /** As if the process had been sent this signal. */
  signal(name: NodeJS.Signals): void;
  /** What it has written to stderr until now. */
  stderr(): string;
}

/** The environment of a command: the test's own, without a server in it. */
export function environmentOf({ uri, env }: CommandOptions): NodeJS.ProcessEnv {
  const { MONGODB_URI: _ignored, ...own } = process.env;
  return { ...own, ...(uri === undefined ? {} : { MONGODB_URI: uri }), ...env };
}

/** Variables that mean something to a process only: a test that gives them to a call would test nothing. */
const OF_PROCESSES = ['GODWIT_FAULT', 'NODE_OPTIONS'];

/** Begins to run one command line. */
export function callCommand(args: readonly string[], options: CommandOptions): Call {
  const lost = OF_PROCESSES.find((name) => options.env?.[name] !== undefined);
  if (lost) throw new Error(`${lost} needs a process of its own: runProcess`);
  const [stdin, stdout, stderr] = [new PassThrough().end(), new PassThrough(), new PassThrough()];
  const signals = new EventEmitter();
  let said = '';
  stderr.on('data', (part: Buffer) => {
    said += part.toString();
  });
  const exit = (code: number): void => {
    throw new Error(`the command left with ${code}`);
  };
  const surroundings = {
    ...{ stdin, stdout, stderr, signals, exit },
    ...{ env: environmentOf(options), cwd: options.cwd, now: () => new Date() },
  };
  const output = text(stdout);
  const work = async (): Promise<CommandResult> => {
    const code = await main(args, surroundings).finally(() => stdout.end());
    return { code, signal: null, stdout: await output, stderr: said };
  };
  return { end: work(), signal: (name) => signals.emit(name), stderr: () => said };
}

export const runCommand = (args: readonly string[], options: CommandOptions): Promise<CommandResult> =>
  callCommand(args, options).end;

/** With --json: the one document on stdout. Throws when stdout is anything else. */
export async function runJson(
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult & { readonly json: Record<string, unknown> }> {
  const result = await runCommand([...args, '--json'], options);
  return { ...result, json: JSON.parse(result.stdout) as Record<string, unknown> };
}
