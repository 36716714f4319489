/** What a server tells of how well it keeps up. Each needs a right that an application's user may lack. */
import type { MongoClient } from 'mongodb';
import { heartbeatsOf, type ReplicaLag } from './heartbeats.js';
import { askAdmin, type Fact } from './server-facts.js';

/** How long the first heartbeats of all members may take, in ms: one comes every 2 s. */
const FIRST_MS = 2_500;

interface Member {
  readonly name: string;
  readonly stateStr: string;
  readonly health: number;
  readonly optimeDate?: Date;
}

/**
 * Tells how far the secondaries are behind; null in a set without any. Whoever may not ask the set hears it from the
 * members' heartbeats, hidden members excepted, and does not ask again: each refusal is a line in the server's log.
 */
export function lagReader(client: MongoClient): () => Promise<Fact<ReplicaLag | null>> {
  let refusal: Fact<never> | undefined;
  return async () => {
    const told = refusal ?? (await askLag(client));
    if (told.known) return told;
    refusal = told;
    const heartbeats = heartbeatsOf(client);
    await heartbeats?.arrive(FIRST_MS);
    const lag = heartbeats?.lag();
    return lag === undefined ? told : { known: true, value: lag };
  };
}

async function askLag(client: MongoClient): Promise<Fact<ReplicaLag | null>> {
  const status = await askAdmin(client, 'admin', { replSetGetStatus: 1 }, 'replSetGetStatus (role clusterMonitor)');
  if (!status.known) return status;
  const members = status.value['members'] as Member[];
  const primary = members.find(({ stateStr }) => stateStr === 'PRIMARY')?.optimeDate;
  const behind = members
    .filter(({ stateStr, health }) => stateStr === 'SECONDARY' && health === 1)
    .map(({ name, optimeDate }) => ({
      node: name,
      ms: primary && optimeDate ? Math.max(0, primary.getTime() - optimeDate.getTime()) : 0,
    }))
    .sort((a, b) => b.ms - a.ms);
  return { known: true, value: behind[0] ?? null };
}

/** How busy the primary is. */
export interface ServerLoad {
  readonly node: string;
  /** It slows writers down itself, since a majority is too far behind. */
  readonly isFlowControlled: boolean;
  /** Operations that wait for a lock, or for their turn. */
  readonly queued: number;
  /** Connections that are taken, of all that it would accept, in percent. */
  readonly connectionsPercent: number;
}

/** How busy the primary is, as its `serverStatus` tells it. */
export async function readServerLoad(client: MongoClient): Promise<Fact<ServerLoad>> {
  const status = await askAdmin(
    client,
    'admin',
    { serverStatus: 1, repl: 0, metrics: 0, locks: 0, wiredTiger: 0, tcmalloc: 0 },
    'serverStatus (role clusterMonitor)',
  );
  if (!status.known) return status;
  const { host, flowControl, globalLock, connections } = status.value as {
    readonly host?: string;
    readonly flowControl?: { readonly enabled?: boolean; readonly isLagged?: boolean };
    readonly globalLock?: { readonly currentQueue?: { readonly total?: number } };
    readonly connections?: { readonly current?: number; readonly available?: number };
  };
  const { current = 0, available = 0 } = connections ?? {};
  return {
    known: true,
    value: {
      node: String(host),
      isFlowControlled: flowControl?.enabled === true && flowControl.isLagged === true,
      queued: Number(globalLock?.currentQueue?.total ?? 0),
      connectionsPercent: current === 0 ? 0 : Math.floor((100 * current) / (current + available)),
    },
  };
}
