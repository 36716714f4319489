/**
 * The mongod of mongodb-memory-server: found in its folder, or downloaded by it.
 *
 * It runs in a child process: it prints its progress on stdout (which belongs to our command), and it cannot be
 * cancelled, while a child can. One attempt instead of its three: without internet it then fails in 0.1 s, not in 7.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type Look, probeMongod } from './mongod-binary.js';

/** No byte at all within this time: a firewall that drops packets. */
const FIRST_RESPONSE_MS = 5_000;
/** It reports progress every 2 s, but unpacks in silence. A download that goes on is never cut, however long. */
const SILENCE_MS = 60_000;

const CHILD_SOURCE = `
import(process.argv[1])
  .then(({ MongoBinary }) => MongoBinary.getPath())
  .then(
    (path) => process.stdout.write('\\nmongod=' + path + '\\n'),
    (error) => { process.stderr.write('\\nfailed=' + (error.code || error.message) + '\\n'); process.exitCode = 1; },
  );
`;

export interface MemoryServerOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly allowDownload: boolean;
  readonly log: (line: string) => void;
}

export async function fromMemoryServer(options: MemoryServerOptions): Promise<Look> {
  const entry = resolveEntry();
  if (entry === undefined) return { because: 'the optional package mongodb-memory-server-core is not installed' };
  const answer = await askChild(entry, options);
  if ('because' in answer) return answer;
  const probe = await probeMongod(answer.path);
  if ('because' in probe) return probe;
  return { path: answer.path, source: `mongod ${probe.version} of mongodb-memory-server (${answer.path})` };
}

function resolveEntry(): string | undefined {
  const require = createRequire(import.meta.url);
  try {
    return pathToFileURL(require.resolve('mongodb-memory-server-core')).href;
  } catch {
    return undefined;
  }
}

function askChild(entry: string, options: MemoryServerOptions): Promise<{ path: string } | { because: string }> {
  const child = spawn(process.execPath, ['-e', CHILD_SOURCE, entry], {
    env: childEnv(options),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let isDownloading = false;
  return new Promise((resolve) => {
    const giveUp = () => {
      child.kill('SIGKILL');
      resolve({ because: isDownloading ? 'its download stopped half-way' : 'its download got no answer' });
    };
    let timer = setTimeout(giveUp, FIRST_RESPONSE_MS);
    const hear = (text: string) => {
      output += text;
      clearTimeout(timer);
      timer = setTimeout(giveUp, SILENCE_MS);
      if (isDownloading || !text.includes('Downloading')) return;
      isDownloading = true;
      options.log('Downloading a mongod through mongodb-memory-server (once; it keeps it).');
    };
    child.stdout.setEncoding('utf8').on('data', hear);
    child.stderr.setEncoding('utf8').on('data', hear);
    child.on('error', (error) => resolve({ because: error.message }));
    child.on('close', () => {
      clearTimeout(timer);
      resolve(readAnswer(output));
    });
  });
}

function childEnv({ env, allowDownload }: MemoryServerOptions): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _ours, ...rest } = env;
  return { MONGOMS_MAX_RETRIES: '1', ...rest, ...(allowDownload ? {} : { MONGOMS_RUNTIME_DOWNLOAD: 'false' }) };
}

function readAnswer(output: string): { path: string } | { because: string } {
  const path = /^mongod=(.+)$/m.exec(output)?.[1];
  if (path !== undefined) return { path };
  const failure = /^failed=(.+)$/m.exec(output)?.[1] ?? 'it ended without an answer';
  if (failure.startsWith('MongoBinary.getPath')) return { because: 'it has none, and downloads are not allowed here' };
  return { because: `its download failed (${failure.replace(/https?:\S+/g, '…').slice(0, 200)})` };
}
