/**
 * How far the members of a replica set are behind, as they say without being asked: the driver's heartbeats (`hello`,
 * every 2 s) name the last write that each one has, and need no right.
 */
import type { Timestamp } from 'bson';
import type { MongoClient, ServerHeartbeatSucceededEvent } from 'mongodb';
import { pause } from '../kernel/retry.js';

/** The last write that a member had at a moment of this machine. */
interface Heard {
  /** Of `performance.now()`, in ms. */
  readonly at: number;
  /** Place in the oplog. */
  readonly write: bigint;
  /** When the primary wrote it, by its clock, in ms. */
  readonly writtenAt: number;
}

export interface ReplicaLag {
  /** Of the secondary that is furthest behind, in ms. Members that are down or starting do not count. */
  readonly ms: number;
  readonly node: string;
}

interface HelloReply {
  readonly isWritablePrimary?: boolean;
  readonly secondary?: boolean;
  readonly hosts?: readonly string[];
  readonly lastWrite?: { readonly opTime?: { readonly ts?: Timestamp }; readonly lastWriteDate?: Date };
}

/** What the primary has said is kept for so many heartbeats (ten minutes): a lag beyond that is told as that. */
const KEPT = 300;
const LOOK_MS = 50;

export class Heartbeats {
  /** Of the present primary, the oldest first. */
  #writes: Heard[] = [];
  #primary: string | null = null;
  #hosts = 0;
  readonly #secondaries = new Map<string, Heard>();

  /** @param now for tests */
  constructor(private readonly now: () => number = () => performance.now()) {}

  hear(node: string, { isWritablePrimary, secondary, hosts = [], lastWrite }: HelloReply): void {
    const write = lastWrite?.opTime?.ts?.toBigInt();
    this.#secondaries.delete(node);
    if (write === undefined) return;
    const heard = { at: this.now(), write, writtenAt: lastWrite?.lastWriteDate?.getTime() ?? 0 };
    if (secondary) this.#secondaries.set(node, heard);
    if (!isWritablePrimary) return;
    // What the one before had last, nobody may ever get.
    if (this.#primary !== node) this.#writes = [];
    [this.#primary, this.#hosts] = [node, hosts.length];
    this.#writes = [...this.#writes.slice(1 - KEPT), heard];
  }

  /** A member that is down is not waited for. */
  lose(node: string): void {
    this.#secondaries.delete(node);
  }

  /** Waits until the lag can be told, for so long, in ms: a client is connected once it knows the primary. */
  async arrive(ms: number): Promise<void> {
    const until = this.now() + ms;
    while (this.lag() === undefined && this.now() < until) await pause(LOOK_MS);
  }

  /**
   * The secondary that is furthest behind; null in a set without any. A secondary is behind since the moment when the
   * primary had a write that it still has not got: on an idle set the time between two writes is no lag. How far it was
   * behind when the primary was heard first, the dates of their last writes tell. It may be further behind than is
   * told, by one heartbeat.
   *
   * @returns undefined when it can't be told: no primary was heard, or of several members only this one
   */
  lag(): ReplicaLag | null | undefined {
    if (this.#primary === null || (this.#hosts > 1 && this.#secondaries.size === 0)) return undefined;
    const [first] = this.#writes;
    const lags = [...this.#secondaries].map(([node, { at, write, writtenAt }]) => {
      const missed = this.#writes.find((one) => one.write > write);
      const before = missed && missed === first ? missed.writtenAt - writtenAt : 0;
      return { node, ms: missed ? Math.max(0, at - missed.at) + before : 0 };
    });
    return lags.sort((a, b) => b.ms - a.ms)[0] ?? null;
  }
}

const OF_CLIENTS = new WeakMap<MongoClient, Heartbeats>();

/** Begins to listen; before the client connects. */
export function listenToHeartbeats(client: MongoClient): void {
  const heartbeats = new Heartbeats();
  OF_CLIENTS.set(client, heartbeats);
  client.on('serverHeartbeatSucceeded', ({ connectionId, reply }: ServerHeartbeatSucceededEvent) =>
    heartbeats.hear(connectionId, reply),
  );
  client.on('serverHeartbeatFailed', ({ connectionId }) => heartbeats.lose(connectionId));
}

/** What was heard on this client so far. */
export const heartbeatsOf = (client: MongoClient): Heartbeats | undefined => OF_CLIENTS.get(client);
