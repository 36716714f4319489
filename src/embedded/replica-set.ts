/**
 * From listening mongods to a replica set with a writable primary, and its root user.
 *
 * The only file of this room that talks to a server. A fresh data folder is initiated; a kept one is on new ports, so
 * its configuration is forced to them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Document, MongoClient } from 'mongodb';
import { GodwitError } from '../errors.js';

const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 15;
/** The server's default of 10 s would make a test of a lost primary slow. Only with three members. */
const ELECTION_TIMEOUT_MS = 2_000;

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface ReplicaSetPlan {
  readonly name: string;
  readonly ports: readonly number[];
  /** The data folder held a replica set already. */
  readonly isKept: boolean;
  readonly auth?: Credentials | undefined;
}

/** Initiate (or move) the replica set, wait for a writable primary and for all members, create the root user. */
export async function formReplicaSet(plan: ReplicaSetPlan): Promise<void> {
  const first = plan.ports[0] ?? 0;
  const auth = plan.isKept ? plan.auth : undefined;
  await withClient(first, auth, (client) => (plan.isKept ? moveSet(client, plan) : initiate(client, plan)));
  const primary = await waitForMembers(plan);
  if (plan.auth !== undefined && !plan.isKept) await createRoot(primary, plan.auth);
}

/** A root user through the localhost exception: allowed as long as the server has no user. */
export async function createRoot(port: number, auth: Credentials): Promise<void> {
  await withClient(port, undefined, async (client) => {
    await client.db('admin').command({ createUser: auth.user, pwd: auth.password, roles: ['root'] });
  });
}

async function initiate(client: MongoClient, plan: ReplicaSetPlan): Promise<void> {
  const settings = plan.ports.length > 1 ? { settings: { electionTimeoutMillis: ELECTION_TIMEOUT_MS } } : {};
  await client.db('admin').command({ replSetInitiate: { _id: plan.name, members: membersOf(plan), ...settings } });
}

async function moveSet(client: MongoClient, plan: ReplicaSetPlan): Promise<void> {
  const { config } = await client.db('admin').command({ replSetGetConfig: 1 });
  const moved: Document = { ...config, version: config.version + 1, members: membersOf(plan) };
  await client.db('admin').command({ replSetReconfig: moved, force: true });
}

function membersOf(plan: ReplicaSetPlan): Document[] {
  return plan.ports.map((port, member) => ({ _id: member, host: `127.0.0.1:${port}` }));
}

/** @returns the port of the primary, when it can be written to and every other member is a secondary */
async function waitForMembers(plan: ReplicaSetPlan): Promise<number> {
  const clients = plan.ports.map((port) => direct(port));
  const until = Date.now() + READY_TIMEOUT_MS;
  try {
    while (Date.now() < until) {
      const hellos = await Promise.all(clients.map((client) => client.db('admin').command({ hello: 1 })));
      const primary = hellos.findIndex((hello) => hello['isWritablePrimary'] === true);
      const others = hellos.filter((hello) => hello['secondary'] === true).length;
      if (primary >= 0 && others === plan.ports.length - 1) return plan.ports[primary] ?? 0;
      await sleep(POLL_MS);
    }
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
  throw new GodwitError(
    'GODWIT_NO_PRIMARY',
    `The embedded replica set ${plan.name} should have a primary, but has none after ${READY_TIMEOUT_MS / 1000} s.`,
  );
}

async function withClient<T>(
  port: number,
  auth: Credentials | undefined,
  work: (client: MongoClient) => Promise<T>,
): Promise<T> {
  const client = direct(port, auth);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

function direct(port: number, auth?: Credentials): MongoClient {
  return new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
    serverSelectionTimeoutMS: 10_000,
    ...(auth === undefined ? {} : { auth: { username: auth.user, password: auth.password }, authSource: 'admin' }),
  });
}
