/** What `verify` is given, and what it finds. */
import type { Db } from 'mongodb';
import type { RunDocument } from '../domain/run.js';
import type { Events } from '../events.js';
import type { LoadedMigration } from '../migration/load.js';
import type { State } from '../mongo/state.js';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly expected: number | string;
  readonly found: number | string;
  /** `_id`s of documents that are found, the first of them, where the check lists and does not judge. */
  readonly listed?: readonly unknown[];
}

/** Documents that one check lists. */
export const MAX_LISTED = 10;

export interface Verification {
  readonly ok: boolean;
  readonly checks: readonly Check[];
  /** Documents looked at. */
  readonly checked: number;
}

export interface VerifyFacts {
  readonly db: Db;
  readonly state: State;
  readonly loaded: LoadedMigration;
  readonly run: RunDocument;
  readonly events: Events;
  readonly transformTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Transform every document again, not only those that are no longer as the run left them. */
  readonly isFull: boolean;
}

export const equal = (name: string, expected: number | string, found: number | string): Check => ({
  name,
  ok: expected === found,
  expected,
  found,
});
