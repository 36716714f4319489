/** Facts that need a right which an application's user may lack: each is a value, or the role that would show it. */
import type { Db, Document, MongoClient } from 'mongodb';
import { codeOf } from './server-errors.js';

export type Fact<T> = { readonly known: true; readonly value: T } | { readonly known: false; readonly needs: string };

/** A command that needs a right: its answer, or what it needs. */
export async function askAdmin(
  client: MongoClient,
  db: string,
  command: Document,
  needs: string,
): Promise<Fact<Document>> {
  try {
    return { known: true, value: await client.db(db).command(command) };
  } catch (error) {
    if (codeOf(error) === 13 || codeOf(error) === 8000) return { known: false, needs };
    throw error;
  }
}

/** Id of the replica set: another one means another server under the same name. */
export async function readReplicaSetId(client: MongoClient): Promise<string | null> {
  const fact = await askAdmin(client, 'admin', { replSetGetConfig: 1 }, 'clusterMonitor').catch(() => null);
  if (!fact?.known) return null;
  const settings = (fact.value['config'] as Document | undefined)?.['settings'] as Document | undefined;
  return settings?.['replicaSetId'] ? String(settings['replicaSetId']) : null;
}

export interface OplogWindow {
  readonly maxBytes: number;
  readonly bytes: number;
  /** From its first entry to now, by the server's clock. */
  readonly hours: number;
}

/** Size and span of the oplog. */
export async function readOplogWindow(client: MongoClient): Promise<Fact<OplogWindow>> {
  const needs = 'read on the database "local" (role clusterMonitor)';
  const stats = await askAdmin(client, 'local', { collStats: 'oplog.rs' }, needs);
  if (!stats.known) return stats;
  const oplog = client.db('local').collection('oplog.rs');
  const first = await oplog
    .find({}, { projection: { wall: 1 } })
    .sort({ $natural: 1 })
    .limit(1)
    .next();
  const [from, now] = [first?.['wall'], await readServerTime(client)];
  const hours = from instanceof Date ? (now.getTime() - from.getTime()) / 3_600_000 : 0;
  const { maxSize, size } = stats.value as { readonly maxSize?: number; readonly size?: number };
  return { known: true, value: { maxBytes: Number(maxSize ?? 0), bytes: Number(size ?? 0), hours } };
}

/** What the server's clock says. */
export async function readServerTime(client: MongoClient): Promise<Date> {
  return ((await client.db('admin').command({ hello: 1 })) as { readonly localTime: Date }).localTime;
}

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Free space of the server's disk, as `dbStats` tells it. */
export async function readDiskSpace(db: Db): Promise<Fact<DiskSpace>> {
  const stats = await askAdmin(db.client, db.databaseName, { dbStats: 1 }, 'dbStats on the database (role readWrite)');
  if (!stats.known) return stats;
  const [total, used] = [Number(stats.value['fsTotalSize'] ?? 0), Number(stats.value['fsUsedSize'] ?? 0)];
  if (total === 0) return { known: false, needs: 'a server that reports fsTotalSize' };
  return { known: true, value: { freeBytes: total - used, totalBytes: total } };
}

/** Seconds after which the server ends an abandoned transaction. */
export async function readTransactionLifetime(client: MongoClient): Promise<Fact<number>> {
  const fact = await askAdmin(
    client,
    'admin',
    { getParameter: 1, transactionLifetimeLimitSeconds: 1 },
    'getParameter (role clusterMonitor)',
  );
  return fact.known ? { known: true, value: Number(fact.value['transactionLifetimeLimitSeconds']) } : fact;
}

/** Roles of the connected user; none are told where access control is off. */
export async function readRoles(
  client: MongoClient,
): Promise<{ readonly user: string | null; readonly roles: readonly string[] }> {
  const status = await client.db('admin').command({ connectionStatus: 1 });
  const info = status['authInfo'] as {
    authenticatedUsers: { user: string; db: string }[];
    authenticatedUserRoles: { role: string; db: string }[];
  };
  const [user] = info.authenticatedUsers;
  return {
    user: user ? `${user.user}@${user.db}` : null,
    roles: info.authenticatedUserRoles.map(({ role, db }) => `${role}@${db}`),
  };
}
