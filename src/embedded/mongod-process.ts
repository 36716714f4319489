/** One mongod process: its arguments, its birth, and the moment when it listens. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GodwitError } from '../errors.js';
import type { Janitor } from './janitor.js';

/** Opening a kept data folder after a crash replays its journal; a fresh one listens in 0.3 s. */
const LISTEN_TIMEOUT_MS = 60_000;
const POLL_MS = 10;
/** Between finding a free port and taking it, somebody else may take it. */
const PORT_ATTEMPTS = 3;
const EXIT_PORT_TAKEN = 48;

export interface MongodPlan {
  readonly binary: string;
  /** Data folder; made when missing. */
  readonly dbPath: string;
  /** Log file; a second file `<logPath>.out` takes what mongod says before it opens its log. */
  readonly logPath: string;
  /** TCP port; undefined: a free one. */
  readonly port?: number | undefined;
  /** Added to Godwit's own arguments, over which they win. */
  readonly args: readonly string[];
}

export interface MongodProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  readonly dbPath: string;
}

/** Start a mongod and wait until it listens. @throws GodwitError GODWIT_UNEXPECTED with the end of its log */
export async function startMongod(plan: MongodPlan, janitor: Janitor): Promise<MongodProcess> {
  await mkdir(plan.dbPath, { recursive: true });
  for (let attempt = 1; ; attempt += 1) {
    const port = plan.port ?? (await freePort());
    const child = spawnMongod(plan, port, janitor);
    if (await isListening(child, plan.logPath)) return { child, pid: child.pid ?? 0, port, dbPath: plan.dbPath };
    const mayRetry = plan.port === undefined && attempt < PORT_ATTEMPTS;
    if (!(mayRetry && (await isPortTaken(child, plan)))) throw await didNotStart(child, plan);
  }
}

/** Taken before it was bound, mongod says so as it exits; between that and listening, it aborts, and its log says so. */
async function isPortTaken({ exitCode }: ChildProcess, { logPath }: MongodPlan): Promise<boolean> {
  return exitCode === EXIT_PORT_TAKEN || (await readLog(logPath)).includes('Address already in use');
}

const readLog = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

/** Wait for the end of a process that was told to end. */
export async function hasExited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  await once(child, 'exit');
}

/**
 * Below the ports that systems lend to outgoing connections (Linux: from 32768, others: from 49152): a server that is
 * started again must not find that a client of its own was lent its port meanwhile.
 */
const PORTS = { from: 20_000, to: 32_000 } as const;
const PORT_LOOKS = 50;

async function freePort(): Promise<number> {
  for (let look = 0; look < PORT_LOOKS; look += 1) {
    const port = randomInt(PORTS.from, PORTS.to);
    if (await isFree(port)) return port;
  }
  throw new GodwitError(
    'GODWIT_UNEXPECTED',
    `wanted a free port from ${PORTS.from} to ${PORTS.to}, found ${PORT_LOOKS} of them taken`,
    { next: ['pass `port`, or set MONGODB_URI to a server that is there'] },
  );
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listening = once(server, 'listening').then(
    () => true,
    () => false,
  );
  server.listen(port, '127.0.0.1');
  if (!(await listening)) return false;
  server.close();
  await once(server, 'close');
  return true;
}

/** Detached, so that the terminal's Ctrl-C reaches us first; the janitor answers for its end. */
function spawnMongod(plan: MongodPlan, port: number, janitor: Janitor): ChildProcess {
  const out = openSync(`${plan.logPath}.out`, 'a');
  const child = spawn(plan.binary, mongodArgs(plan, port), { detached: true, stdio: ['ignore', out, out] });
  janitor.watch(child);
  closeSync(out);
  child.on('error', () => undefined); // seen as "did not start": no pid
  child.unref();
  return child;
}

/** Small cache, no diagnostics, no socket file: a SIGKILL would leave that behind in the folder for temporary files. */
function mongodArgs(plan: MongodPlan, port: number): string[] {
  const own = ['--port', String(port), '--bind_ip', '127.0.0.1', '--dbpath', plan.dbPath, '--logpath', plan.logPath];
  const quick = ['--setParameter', 'diagnosticDataCollectionEnabled=false'];
  if (!plan.args.includes('--wiredTigerCacheSizeGB')) quick.push('--wiredTigerCacheSizeGB', '0.5');
  if (process.platform !== 'win32') quick.push('--nounixsocket');
  return [...own, '--logappend', ...quick, ...plan.args];
}

/** By its log and not by a connection: whoever took the port would answer a connection too. */
async function isListening(child: ChildProcess, logPath: string): Promise<boolean> {
  const until = Date.now() + LISTEN_TIMEOUT_MS;
  while (Date.now() < until && child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    const log = await readLog(logPath);
    if (/waiting for connections/i.test(log)) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function didNotStart(child: ChildProcess, plan: MongodPlan): Promise<GodwitError> {
  child.kill('SIGKILL');
  const out = await readLog(`${plan.logPath}.out`);
  const log = await readLog(plan.logPath);
  const lines = `${log}\n${out}`.split('\n').filter((line) => line.trim() !== '');
  const errors = lines.filter((line) => /"s":"[EF]"/.test(line)).slice(0, 5);
  const telling = (errors.length > 0 ? errors : lines.slice(-5)).map((line) => `  ${line.slice(0, 400)}`);
  const how = child.pid === undefined ? 'could not be run' : `ended with ${child.exitCode ?? child.signalCode}`;
  return new GodwitError(
    'GODWIT_UNEXPECTED',
    `The embedded mongod (${plan.binary}) should have started, but it ${how}.\n${telling.join('\n')}`,
    { details: { binary: plan.binary, exitCode: child.exitCode } },
  );
}

/** Where the log of a member lies: beside the data, so that a kept data folder holds data only. */
export function logPathOf(root: string, member: number): string {
  return join(root, `mongod-${member}.log`);
}
