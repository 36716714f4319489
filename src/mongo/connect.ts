/** The connection: its time limits, what the server is, and the errors of connecting in words. */
import {
  type Db,
  MongoClient,
  type MongoClientOptions,
  MongoParseError,
  type TopologyDescriptionChangedEvent,
} from 'mongodb';
import { GodwitError } from '../errors.js';
import { redactUris } from '../kernel/redact.js';
import { requireVersion } from '../kernel/server-version.js';
import { addressesOf, isLoopback } from './addresses.js';
import { listenToHeartbeats } from './heartbeats.js';
import { translateServerError } from './server-errors.js';
import { srvFailure, whyUnreachable } from './unreachable.js';

/**
 * Limits well below the lease (15 s), in ms: a dead network must be noticed before the lease is gone. With the
 * driver's defaults it takes 40 s (docs/guide/how-it-works.md); `timeoutMS` has no effect in driver 7.9.
 */
const LIMITS: MongoClientOptions = {
  appName: 'godwit',
  connectTimeoutMS: 4_000,
  serverSelectionTimeoutMS: 5_000,
  heartbeatFrequencyMS: 2_000,
  retryWrites: true,
  ignoreUndefined: true,
};

export interface Connection {
  readonly client: MongoClient;
  readonly db: Db;
  readonly server: ServerFacts;
}

/** What `hello` and `buildInfo` say. */
export interface ServerFacts {
  readonly version: string;
  readonly topology: 'replica-set' | 'sharded' | 'standalone';
  readonly setName: string | null;
  readonly hosts: readonly string[];
  /** Milliseconds that this machine's clock is ahead of the server's. */
  readonly clockOffsetMs: number;
  /** Loopback by address and by the server's own account: a tunnel to production is not local. */
  readonly isLocal: boolean;
}

export interface ConnectOptions {
  readonly uri: string;
  /** Database; the one in the URI's path when left out. */
  readonly db?: string | undefined;
  /** Longest silence on a connection with a question under way, in ms. Default: none. */
  readonly socketTimeoutMs?: number | undefined;
  /** For tests: sees every command that is sent. */
  readonly onCommand?: ((name: string) => void) | undefined;
}

const badUri = (detail: string): GodwitError =>
  new GodwitError('GODWIT_BAD_URI', `wanted a MongoDB URI, found one that cannot be parsed: ${detail}`, {
    next: ['check MONGODB_URI or --uri: mongodb://user:password@host:27017/database?replicaSet=rs0'],
  });

/** @throws GodwitError GODWIT_BAD_URI, GODWIT_NO_URI */
export function databaseOf(uri: string, named: string | undefined): string {
  if (!/^mongodb(\+srv)?:\/\//.test(uri)) throw badUri('it does not begin with mongodb:// or mongodb+srv://');
  if (named) return named;
  const path = /^mongodb(?:\+srv)?:\/\/[^/]*\/([^?]+)/.exec(uri)?.[1];
  if (path) return decodeURIComponent(path);
  throw new GodwitError('GODWIT_NO_URI', 'wanted a database name in the path of the URI or by --db, found none', {
    next: ['MONGODB_URI=mongodb://host:27017/DATABASE godwit …', 'godwit … --db DATABASE'],
  });
}

function createClient(options: ConnectOptions): MongoClient {
  try {
    return new MongoClient(options.uri, {
      ...LIMITS,
      // A wire that is slow is as slow for heartbeats and new connections: cut off there, it would be one that is dead.
      ...(options.socketTimeoutMs === undefined
        ? {}
        : { socketTimeoutMS: options.socketTimeoutMs, connectTimeoutMS: options.socketTimeoutMs }),
      monitorCommands: options.onCommand !== undefined,
    });
  } catch (error) {
    const detail =
      error instanceof MongoParseError || error instanceof Error ? redactUris(error.message) : String(error);
    throw badUri(detail);
  }
}

/**
 * Connects and looks at the server.
 *
 * @throws GodwitError GODWIT_NO_URI, GODWIT_BAD_URI, GODWIT_NO_PRIMARY, GODWIT_AUTH
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const name = databaseOf(options.uri, options.db);
  const client = createClient(options);
  listenToHeartbeats(client);
  if (options.onCommand) client.on('commandStarted', ({ commandName }) => options.onCommand?.(commandName));
  try {
    await client.connect();
    const db = client.db(name);
    const server = await readServerFacts(client, options.uri);
    requireVersion(server.version);
    return { client, db, server };
  } catch (error) {
    await client.close().catch(() => undefined);
    throw await inWords(error, options.uri);
  }
}

async function inWords(error: unknown, uri: string): Promise<GodwitError> {
  const known = srvFailure(error) ?? translateServerError(error);
  return known.code === 'GODWIT_NO_PRIMARY' ? ((await whyUnreachable(uri)) ?? known) : known;
}

/**
 * Logs in anew: all connections are given up, and so are all sessions. For a user that was dropped and made again, whom
 * the server no longer knows on the connections that are there.
 */
export async function reconnect(client: MongoClient): Promise<void> {
  await client.close();
  await client.connect();
}

interface Hello {
  readonly setName?: string;
  readonly hosts?: string[];
  readonly msg?: string;
  readonly localTime: Date;
}

async function readServerFacts(client: MongoClient, uri: string): Promise<ServerFacts> {
  const admin = client.db('admin');
  const sent = Date.now();
  const hello = (await admin.command({ hello: 1 })) as unknown as Hello;
  const received = Date.now();
  const build = await admin.command({ buildInfo: 1 });
  const hosts = hello.hosts ?? [];
  return {
    version: String(build['version']),
    topology: topologyOf(hello),
    setName: hello.setName ?? null,
    hosts,
    clockOffsetMs: Math.round((sent + received) / 2 - hello.localTime.getTime()),
    isLocal: [...addressesOf(uri), ...hosts].every(isLoopback),
  };
}

const topologyOf = ({ msg, setName }: Hello): ServerFacts['topology'] =>
  msg === 'isdbgrid' ? 'sharded' : setName ? 'replica-set' : 'standalone';

/** What answers at the address by now; null when nothing does. */
export async function readTopology(client: MongoClient): Promise<ServerFacts['topology'] | null> {
  const hello = await client
    .db('admin')
    .command({ hello: 1 })
    .catch(() => null);
  return hello && topologyOf(hello as unknown as Hello);
}

/**
 * Refuses what cannot hold a transaction.
 *
 * @throws GodwitError GODWIT_STANDALONE, GODWIT_SHARDED
 */
export function requireTransactions(server: ServerFacts): void {
  if (server.topology === 'standalone')
    throw new GodwitError('GODWIT_STANDALONE', 'wanted a replica set (transactions), found a standalone server', {
      next: [
        'restart it with:  mongod --replSet rs0 …   (the data stays as it is)',
        "once, in mongosh:  rs.initiate({ _id: 'rs0', members: [{ _id: 0, host: 'HOST:PORT' }] })",
        'a dry run works as it is:  godwit run ID --dry-run',
      ],
    });
  if (server.topology === 'sharded')
    throw new GodwitError(
      'GODWIT_SHARDED',
      'wanted a replica set, found a mongos (sharded clusters are not tested yet)',
      {
        next: ['a dry run works as it is:  godwit run ID --dry-run'],
      },
    );
}

/**
 * Calls `lost` whenever no known server takes writes any more: the driver notices a closed connection at once, and a
 * silent one by its heartbeat, both before the statement that waits for an answer.
 *
 * @returns ends the listening
 */
export function whenPrimaryIsLost(client: MongoClient, lost: () => void): () => void {
  const listen = ({ newDescription }: TopologyDescriptionChangedEvent): void => {
    if (![...newDescription.servers.values()].some(({ isWritable }) => isWritable)) lost();
  };
  client.on('topologyDescriptionChanged', listen);
  return () => client.off('topologyDescriptionChanged', listen);
}
