/**
 * The built command as a user runs it: a process of its own, for what only a process has: a pid to kill, signals, an exit
 * code, a sentinel. `npm test` builds first. Everything else calls the command in the test's process: command.ts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type CommandOptions, type CommandResult, environmentOf } from './command.js';

/** The built command. */
export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface ProcessOptions extends CommandOptions {
  /** Another build than `dist/`. */
  readonly main?: string;
}

const living = new Set<ChildProcess>();

/** Starts the command; its output is collected by `finished`. */
export function startCommand(args: readonly string[], options: ProcessOptions): ChildProcess {
  const main = options.main ?? MAIN;
  if (!existsSync(main)) throw new Error('dist/ is missing: run `npm run build` first');
  const child = spawn(process.execPath, [main, ...args], {
    cwd: options.cwd,
    env: environmentOf(options),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  living.add(child);
  child.once('exit', () => living.delete(child));
  return child;
}

/** Kills what a failed test left running, or stopped: a hook for files that stop their processes. */
export function killLeftovers(): void {
  for (const child of living) child.kill('SIGKILL');
}

async function collect(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = '';
  if (stream) for await (const part of stream) text += String(part);
  return text;
}

export async function finished(child: ChildProcess): Promise<CommandResult> {
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const [stdout, stderr, [code, signal]] = await Promise.all([collect(child.stdout), collect(child.stderr), exit]);
  return { code, signal, stdout, stderr };
}

export const runProcess = (args: readonly string[], options: ProcessOptions): Promise<CommandResult> =>
  finished(startCommand(args, options));

/** With --json: the one document on stdout. Throws when stdout is anything else. */
export async function runProcessJson(
  args: readonly string[],
  options: ProcessOptions,
): Promise<CommandResult & { readonly json: Record<string, unknown> }> {
  const result = await runProcess([...args, '--json'], options);
  return { ...result, json: JSON.parse(result.stdout) as Record<string, unknown> };
}
