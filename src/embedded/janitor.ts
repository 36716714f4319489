/**
 * The janitor: a tiny process that outlives us. It holds the read end of a pipe whose write end only this process
 * has; when that pipe closes, for whatever reason (stop(), exit, Ctrl-C, SIGKILL), it kills the processes it was told
 * of and removes the folder. Nothing else can promise that after a SIGKILL.
 *
 * It leads its own session, so that the terminal's Ctrl-C and hang-up do not reach it. Its source is a string run by
 * `node -e`, so that it works from dist and from src alike. Everything it must know before the pipe closes is a line
 * `+pid` or `-pid` (a process that ended by itself: its number may be somebody else's by then).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';

/** How long the janitor waits for a killed process to be gone before it removes the folder all the same. */
const KILL_WAIT_MS = 10_000;

const JANITOR_SOURCE = `
const fs = require('node:fs');
const folder = process.argv[1];
const deadline = Number(process.argv[2]);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});

let said = '';
let begun = false;
process.stdin.setEncoding('utf8');
process.stdin.on('data', (text) => { said += text; });
process.stdin.on('end', clean);
process.stdin.on('error', clean);

function watched() {
  const pids = new Set();
  for (const line of said.split('\\n')) {
    const pid = Number(line.slice(1));
    if (!(pid > 1)) continue;
    if (line[0] === '+') pids.add(pid); else pids.delete(pid);
  }
  return [...pids];
}

// A zombie holds no files any more; without an init that reaps, it would look alive for ever.
function isGone(pid) {
  try { process.kill(pid, 0); } catch { return true; }
  try { return / Z /.test(fs.readFileSync('/proc/' + pid + '/stat', 'utf8').replace(/^.*\\)/, '')); } catch { return false; }
}

async function clean() {
  if (begun) return;
  begun = true;
  const pids = watched();
  for (const pid of pids) { try { process.kill(pid, 'SIGKILL'); } catch {} }
  const until = Date.now() + deadline;
  while (pids.some((pid) => !isGone(pid)) && Date.now() < until) await new Promise((done) => setTimeout(done, 10));
  try { fs.rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }); } catch {}
  process.exit(0);
}
`;

export interface Janitor {
  /** Have this process killed when we are gone. Say it right after the spawn; it is forgotten when the child ends. */
  watch(child: ChildProcess): void;
  /** Kill what is still watched, remove the folder, and wait until both are done. May be called more than once. */
  finish(): Promise<void>;
}

/**
 * Start a janitor for a folder. It never keeps this process from exiting.
 *
 * @param folder absolute path; removed with all it holds when this process ends or `finish()` is called
 */
export function startJanitor(folder: string): Janitor {
  const env = { ...process.env };
  delete env['NODE_OPTIONS']; // a loader or an inspector meant for us must not slow the janitor or stop it
  const child = spawn(process.execPath, ['-e', JANITOR_SOURCE, folder, String(KILL_WAIT_MS)], {
    detached: true,
    cwd: '/',
    env,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(child, 'exit').catch(() => undefined);
  child.stdin.on('error', () => undefined); // EPIPE: somebody killed the janitor; stop() still stops what it started
  if (child.stdin instanceof Socket) child.stdin.unref();
  child.unref();
  const say = (line: string) => {
    if (child.stdin.writable) child.stdin.write(`${line}\n`);
  };
  return {
    watch(process) {
      const { pid } = process;
      if (pid === undefined) return;
      say(`+${pid}`);
      process.once('exit', () => say(`-${pid}`));
    },
    async finish() {
      child.ref(); // else a process with nothing else to do would exit before the promise is kept
      child.stdin.end();
      await ended;
    },
  };
}
