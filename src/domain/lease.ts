/**
 * The lease: which process may move a migration. Its fence is a fresh UUID, copied into every chunk, and part of the
 * filter of every checkpoint: a runner whose lease was taken over cannot commit. Expiry is judged by the server's clock.
 */
import type { Binary } from 'bson';

export interface Owner {
  readonly user: string;
  readonly host: string;
  readonly pid: number;
  /** Names one boot of one machine (and one process namespace): a pid means something only there. */
  readonly machine: string;
  /** When that process began, as the machine tells it: tells a reused pid apart. Null where it can't be read. */
  readonly born: string | null;
}

export interface Lease {
  readonly owner: Owner;
  readonly fence: string;
  readonly since: Date;
  readonly renewedAt: Date;
  readonly expiresAt: Date;
  /** Server sessions whose transactions belong to this lease, and to dead holders whose are not ended yet. */
  readonly sessions: readonly Binary[];
}

/** Older than every fence. */
export const NO_FENCE = '';

/** What is added to the number of a taking, so that all have ten digits and are told older from newer as texts. */
export const FIRST_TAKING = 1_000_000_000;

/** True for a fence that a run whose lease was taken so often can have written. */
export const isFenceOf = (takings: number, fence: unknown): boolean =>
  fence === NO_FENCE ||
  (typeof fence === 'string' && /^\d{10}-/.test(fence) && Number(fence.slice(0, 10)) <= FIRST_TAKING + takings);

export const describeOwner = (owner: Owner): string => `${owner.user}@${owner.host} pid ${owner.pid}`;
