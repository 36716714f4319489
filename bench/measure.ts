/** One process, measured from outside: seconds, CPU of client and server, and the most memory that it had. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Of a line of /proc/PID/stat (man 5 proc): 100 ticks a second on Linux. */
const TICK_MS = 10;

function statOf(pid: number | 'self'): readonly number[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

/** User and system time of a process, in ms. */
const cpuOf = (pid: number): number => ((statOf(pid)[11] ?? 0) + (statOf(pid)[12] ?? 0)) * TICK_MS;

/** Of all children that have ended, and of theirs, in ms. */
const cpuOfChildren = (): number => ((statOf('self')[13] ?? 0) + (statOf('self')[14] ?? 0)) * TICK_MS;

/** The most memory that a process has had so far, in MB; 0 when it is gone. */
function peakMb(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

export interface Measured {
  /** Of the whole process, start-up included. */
  readonly wallSeconds: number;
  /** Without start-up and connecting, as the process itself tells it. */
  readonly seconds: number;
  readonly clientCpuMs: number;
  readonly serverCpuMs: number;
  readonly peakMb: number;
}

export interface Command {
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** @throws Error with its output when it does not end with 0 */
export async function measure({ args, cwd, env }: Command, serverPid: number): Promise<Measured> {
  const [serverBefore, clientBefore, startedAt] = [cpuOf(serverPid), cpuOfChildren(), performance.now()];
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data: Buffer) => {
    out += String(data);
  });
  child.stderr.on('data', (data: Buffer) => {
    err += String(data);
  });
  let peak = 0;
  const ended = once(child, 'close') as Promise<[number | null]>;
  const watching = (async () => {
    for (; child.exitCode === null && child.signalCode === null; await sleep(50))
      peak = Math.max(peak, peakMb(child.pid ?? 0));
  })();
  const [code] = await ended;
  const wallSeconds = (performance.now() - startedAt) / 1_000;
  await watching;
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}:\n${out}\n${err}`);
  const told = /"seconds":\s*([\d.]+)/.exec(out);
  return {
    wallSeconds,
    seconds: told ? Number(told[1]) : wallSeconds,
    clientCpuMs: cpuOfChildren() - clientBefore,
    serverCpuMs: cpuOf(serverPid) - serverBefore,
    peakMb: peak,
  };
}
