/** The configuration as a team writes it in `godwit.config.ts`. Everything is optional; see docs/reference/config.md. */

/** A number in the unit of the name, or a text with its unit (`'30m'`, `'8MiB'`). */
export type Duration = number | string;
export type Size = number | string;

export interface EnvironmentConfig {
  /** Connection string; the database may be in its path. */
  readonly uri?: string | undefined;
  readonly db?: string;
  /** Asks for the database's name before anything is written. */
  readonly production?: boolean;
}

export interface UserConfig {
  /** Database, when the URI's path holds none. */
  readonly db?: string;
  readonly environments?: Readonly<Record<string, EnvironmentConfig>>;
  /** Folder of the migrations. Default `scripts/migrations`. */
  readonly migrations?: string;
  readonly batch?: {
    /** Documents in the first batch; the others adapt to `targetMs`. Default 500. */
    readonly size?: number;
    /** How long a batch may hold its documents, from its first write to its commit, in ms. Default 75. */
    readonly targetMs?: Duration;
    /** Bytes of images in a batch, at most. Default 8 MiB. */
    readonly maxBytes?: Size;
  };
  /** Chunks worked on at once. `'auto'` (default) is one more than this machine has cores, 4 at most. */
  readonly workers?: number | 'auto';
  /** How long a lease lasts without renewal, in ms. Default 15,000. */
  readonly leaseMs?: Duration;
  /** How long a run waits for a server that does not answer, in ms. Default 600,000. */
  readonly outageMs?: Duration;
  /** What batches wait for (docs/guide/pace.md). */
  readonly throttle?: {
    /** How far a secondary may be behind, in ms; 0: never waited for. Default 2,000. */
    readonly maxLagMs?: Duration;
    /** Median of the last commits, in ms; 0: never waited for. Default 250. */
    readonly maxCommitMs?: Duration;
    /** Operations that wait in the queue of the primary; 0: never waited for. Default 32. */
    readonly maxQueue?: number;
    /** Connections of the primary that are taken, in percent; 0: never waited for. Default 90. */
    readonly maxConnectionsPercent?: number;
    /** How far a full oplog must reach back, in ms; 0: never waited for. Default 1 hour. */
    readonly minOplogMs?: Duration;
    /** Address that answers with 2xx while all is well. */
    readonly probe?: string;
    /** Batches wait while it returns true. */
    readonly when?: () => boolean | Promise<boolean>;
  };
  /** After how long without a committed batch a run says so, and why, in ms. Default 60,000. */
  readonly stallMs?: Duration;
  /**
   * When batches of a run may be written: times as a clock in that zone shows them (`2026-12-01T01:00`). Before it opens
   * a run waits; when it closes the run stops, and can be resumed. A rollback is not bound by it.
   */
  readonly window?: { readonly zone: string; readonly start: string; readonly end: string };
  readonly transform?: {
    /** Longest time of one call of `up`, in ms. Default 5,000. */
    readonly timeoutMs?: Duration;
  };
  readonly audit?: {
    /** How long the images of runs that were rolled back or planned anew are kept, in ms. Default 90 days. */
    readonly retention?: Duration;
  };
  /**
   * What becomes of a run whose audit does not fit the free disk, or whose oplog volume exceeds half of the oplog.
   * Default `refuse`.
   */
  readonly room?: 'refuse' | 'warn' | 'off';
  readonly state?: {
    /** Database of Godwit's own collections. Default: the target's. */
    readonly db?: string;
    /** Their name, and the beginning of the others' names. Default `migrations`. */
    readonly prefix?: string;
  };
  /** `collection.path` of fields whose values are never shown, not even with --show-values. */
  readonly redact?: readonly string[];
}

/** Types the configuration; returns it as it is. */
export const defineConfig = <T extends UserConfig>(config: T): T => config;
