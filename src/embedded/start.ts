/**
 * A real mongod as a replica set for the demo and the tests: temporary, on 127.0.0.1, gone when we are gone.
 *
 * Everything lies in one temporary folder (data, logs, key file). The janitor (janitor.ts) removes it and kills the
 * mongods when this process ends in any way, so stop() is a courtesy and not a duty. Nothing here keeps the process
 * from exiting.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, realpath, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type FindMongodOptions, type FoundMongod, findMongod } from './find-mongod.js';
import { type Janitor, startJanitor } from './janitor.js';
import { hasExited, logPathOf, type MongodPlan, type MongodProcess, startMongod } from './mongod-process.js';
import { type Credentials, createRoot, formReplicaSet } from './replica-set.js';

/** A kept data folder is closed properly. Members that wait 15 s for each other are killed: their journal is enough. */
const CLEAN_SHUTDOWN_MS = 5_000;

export interface StartEmbeddedOptions {
  /** Port of the first member. Default: a free one. */
  readonly port?: number;
  /** Members of the replica set. Default: 1. Three elect a new primary about 2 s after one is lost. */
  readonly members?: 1 | 3;
  /** False: a standalone server, which has no transactions. Default: true. */
  readonly replicaSet?: boolean;
  /** More arguments for every mongod, for example `['--setParameter', 'enableTestCommands=1']`. */
  readonly args?: readonly string[];
  /** Turn access control on, with this root user. Default: off. */
  readonly auth?: Credentials;
  /** A data folder of the caller's: used again when it has data, and KEPT by stop(). Default: a temporary one. */
  readonly dbPath?: string;
  /** Where to look for the mongod. */
  readonly find?: Omit<FindMongodOptions, 'log'>;
  /** Hears one line before anything slow. Default: silence. */
  readonly log?: (line: string) => void;
}

interface EmbeddedMember {
  readonly port: number;
  readonly pid: number;
  readonly dbPath: string;
}

export interface EmbeddedServer extends AsyncDisposable {
  /** Connection string without credentials. */
  readonly uri: string;
  /** Connection string of the root user; the same as `uri` without access control. */
  readonly rootUri: string;
  /** Port of the first member. */
  readonly port: number;
  /** Process id of the first member. */
  readonly pid: number;
  readonly members: readonly EmbeddedMember[];
  /** Name of the replica set; undefined for a standalone. */
  readonly setName: string | undefined;
  /** Folder of the data of all members. */
  readonly dbPath: string;
  /** Temporary folder with the logs, `mongod-<member>.log`, and the data unless the caller gave a folder. */
  readonly folder: string;
  /** Where the mongod came from, as a sentence. */
  readonly source: string;
  /** Resolves when the processes are gone and the folder is removed. May be called more than once. */
  stop(): Promise<void>;
}

/**
 * Start an embedded server and wait until it can be written to (about half a second).
 *
 * @example const server = await startEmbedded(); try { … server.uri … } finally { await server.stop(); }
 * @throws GodwitError GODWIT_NO_MONGOD when there is no mongod, GODWIT_UNEXPECTED when it does not start
 */
export async function startEmbedded(options: StartEmbeddedOptions = {}): Promise<EmbeddedServer> {
  const mongod = await findMongod({ ...options.find, ...(options.log ? { log: options.log } : {}) });
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'godwit-embedded-'));
  const janitor = startJanitor(folder);
  try {
    return await start(mongod, folder, janitor, options);
  } catch (error) {
    await janitor.finish();
    throw error;
  }
}

async function start(mongod: FoundMongod, folder: string, janitor: Janitor, options: StartEmbeddedOptions) {
  const dbPath = options.dbPath === undefined ? join(folder, 'data') : resolve(options.dbPath);
  const isKept = (await readdir(dbPath).catch(() => [])).length > 0;
  const setName = options.replicaSet === false ? undefined : setNameFor(options.dbPath === undefined ? folder : dbPath);
  const args = [...(await modeArgs(folder, setName, options)), ...(options.args ?? [])];
  const plan = { binary: mongod.path, args };
  const processes = await startMembers(plan, dbPath, folder, janitor, options);
  await makeWritable(processes, setName, isKept, options.auth);
  return describe(processes, { setName, dbPath, folder, source: mongod.source, janitor, options });
}

/** One name per data folder: a driver that is given a wrong port notices, and a kept folder finds its own set again. */
function setNameFor(folder: string): string {
  return `godwit-${createHash('sha256').update(folder).digest('hex').slice(0, 8)}`;
}

async function modeArgs(folder: string, setName: string | undefined, options: StartEmbeddedOptions): Promise<string[]> {
  const args = setName === undefined ? [] : ['--replSet', setName];
  if (options.auth === undefined) return args;
  if (setName === undefined) return ['--auth'];
  const keyFile = join(folder, 'key-file');
  await writeFile(keyFile, randomBytes(96).toString('base64'), { mode: 0o600 });
  return [...args, '--keyFile', keyFile];
}

/** Waits for all before it fails: one that would start after the janitor has gone would stay. */
async function startMembers(
  plan: Pick<MongodPlan, 'binary' | 'args'>,
  dbPath: string,
  folder: string,
  janitor: Janitor,
  options: StartEmbeddedOptions,
): Promise<MongodProcess[]> {
  const count = options.replicaSet === false ? 1 : (options.members ?? 1);
  const numbers = Array.from({ length: count }, (_, member) => member);
  const started = await Promise.allSettled(
    numbers.map((member) => {
      const where = { dbPath: join(dbPath, String(member)), logPath: logPathOf(folder, member) };
      return startMongod({ ...plan, ...where, port: member === 0 ? options.port : undefined }, janitor);
    }),
  );
  return started.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

async function makeWritable(
  processes: readonly MongodProcess[],
  setName: string | undefined,
  isKept: boolean,
  auth: Credentials | undefined,
): Promise<void> {
  const ports = processes.map((member) => member.port);
  if (setName !== undefined) return formReplicaSet({ name: setName, ports, isKept, auth });
  if (auth !== undefined && !isKept) await createRoot(ports[0] ?? 0, auth);
}

interface Around {
  readonly setName: string | undefined;
  readonly dbPath: string;
  readonly folder: string;
  readonly source: string;
  readonly janitor: Janitor;
  readonly options: StartEmbeddedOptions;
}

function describe(processes: readonly MongodProcess[], around: Around): EmbeddedServer {
  const { setName, dbPath, folder, source, janitor, options } = around;
  const members = processes.map(({ port, pid, dbPath }) => ({ port, pid, dbPath }));
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= stopAll(processes, janitor, options.dbPath !== undefined);
    return stopping;
  };
  return {
    uri: uriOf(members, setName),
    rootUri: uriOf(members, setName, options.auth),
    port: members[0]?.port ?? 0,
    pid: members[0]?.pid ?? 0,
    ...{ members, setName, dbPath, folder, source, stop },
    [Symbol.asyncDispose]: stop,
  };
}

function uriOf(members: readonly EmbeddedMember[], setName: string | undefined, auth?: Credentials): string {
  const user = auth ? `${encodeURIComponent(auth.user)}:${encodeURIComponent(auth.password)}@` : '';
  const hosts = members.map((member) => `127.0.0.1:${member.port}`).join(',');
  const query = [
    ...(setName === undefined ? [] : [`replicaSet=${setName}`]),
    ...(members.length === 1 ? ['directConnection=true'] : []),
    ...(auth ? ['authSource=admin'] : []),
  ];
  return `mongodb://${user}${hosts}/?${query.join('&')}`;
}

/** Temporary data needs no farewell: SIGKILL. The janitor takes care of what is left, and of the folder. */
async function stopAll(processes: readonly MongodProcess[], janitor: Janitor, isKept: boolean): Promise<void> {
  for (const { child } of processes) child.kill(isKept ? 'SIGTERM' : 'SIGKILL');
  const ended = Promise.all(processes.map(({ child }) => hasExited(child)));
  if (isKept) await Promise.race([ended, new Promise((done) => setTimeout(done, CLEAN_SHUTDOWN_MS).unref())]);
  else await ended;
  await janitor.finish();
}
