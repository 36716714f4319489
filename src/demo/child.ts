/** Runs the command as a user would: as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GodwitError } from '../errors.js';

const MAIN = fileURLToPath(new URL('../cli/main.js', import.meta.url));

export interface ChildOptions {
  readonly cwd: string;
  readonly uri: string;
  readonly signal: AbortSignal;
}

function start(args: readonly string[], options: ChildOptions): ChildProcess {
  return spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd,
    env: { ...process.env, MONGODB_URI: options.uri },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: options.signal,
  });
}

async function collect(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = '';
  if (stream) for await (const part of stream) text += String(part);
  return text;
}

/** Runs to the end; the command's one JSON document and its exit code. */
export async function runCommand(
  args: readonly string[],
  options: ChildOptions,
): Promise<{ code: number; json: Record<string, unknown> }> {
  const child = start(args, options);
  const [stdout, stderr, [code]] = await Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  try {
    return { code: code ?? 1, json: JSON.parse(stdout) as Record<string, unknown> };
  } catch (error) {
    throw new GodwitError('GODWIT_UNEXPECTED', `wanted JSON from godwit ${args[0]}, found: ${stderr.slice(0, 400)}`, {
      cause: error,
    });
  }
}

/**
 * Starts the command and kills it with SIGKILL as soon as `isTime` says so.
 *
 * @returns false when it ended by itself before
 */
export async function runUntilKilled(
  args: readonly string[],
  options: ChildOptions,
  isTime: () => Promise<boolean>,
): Promise<boolean> {
  const child = start([...args, '--progress', 'none'], options);
  child.stdout?.resume();
  child.stderr?.resume();
  const exited = once(child, 'exit');
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  void exited.then(end, end);
  while (!isOver && !(await isTime())) await sleep(20);
  child.kill('SIGKILL');
  const [, signal] = (await exited) as [number | null, string | null];
  return signal === 'SIGKILL';
}
