/** Who this process is, as the lease tells it, and whether another one of this machine still lives. */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import type { Owner } from '../domain/lease.js';

function readOr(read: () => string, otherwise: string): string {
  try {
    return read();
  } catch {
    // Not Linux, or not readable: the host's name has to do.
    return otherwise;
  }
}

/** One boot of one machine and one namespace of pids: only there does a pid name a process. */
function machineName(): string {
  const boot = readOr(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), 'boot');
  const namespace = readOr(() => readlinkSync('/proc/self/ns/pid'), 'pid');
  return `${hostname()}/${boot}/${namespace}`;
}

/** Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)); null where there is none. */
function bornAt(pid: number): string | null {
  const stat = readOr(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '');
  return stat === '' ? null : (stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null);
}

const userName = (): string => readOr(() => userInfo().username, 'unknown');

export const currentOwner = (): Owner => ({
  user: userName(),
  host: hostname(),
  pid: process.pid,
  machine: machineName(),
  born: bornAt(process.pid),
});

/** Who does it, as the history has it: `user@host`. */
export const whoami = (): string => `${userName()}@${hostname()}`;

/** `dead` and `alive` are certain; `unknown` is another machine. */
export function lifeOf(owner: Owner): 'dead' | 'alive' | 'unknown' {
  if (owner.machine !== machineName()) return 'unknown';
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'dead';
  }
  const born = bornAt(owner.pid);
  if (owner.born !== null && born !== null && born !== owner.born) return 'dead';
  return isZombie(owner.pid) ? 'dead' : 'alive';
}

function isZombie(pid: number): boolean {
  const stat = readOr(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '');
  return /\) [ZX] /.test(stat);
}
