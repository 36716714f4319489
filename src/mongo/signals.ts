/** What a server tells of how well it keeps up. Each needs a right that an application's user may lack. */
import type { MongoClient } from 'mongodb';
import { askAdmin, type Fact } from './server-facts.js';

export interface ReplicaLag {
  /** Of the secondary that is furthest behind, in ms. Members that are down or starting do not count. */
  readonly ms: number;
  readonly node: string;
}

interface Member {
  readonly name: string;
  readonly stateStr: string;
  readonly health: number;
  readonly optimeDate?: Date;
}

/** How far the secondaries are behind; null in a set without any. */
export async function readReplicaLag(client: MongoClient): Promise<Fact<ReplicaLag | null>> {
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

/** True while the primary itself slows writers down, since a majority is too far behind. */
export async function readFlowControl(client: MongoClient): Promise<Fact<boolean>> {
  const status = await askAdmin(
    client,
    'admin',
    { serverStatus: 1, repl: 0, metrics: 0, locks: 0, wiredTiger: 0, tcmalloc: 0 },
    'serverStatus (role clusterMonitor)',
  );
  if (!status.known) return status;
  const flow = status.value['flowControl'] as { enabled?: boolean; isLagged?: boolean } | undefined;
  return { known: true, value: flow?.enabled === true && flow.isLagged === true };
}
