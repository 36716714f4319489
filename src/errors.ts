/**
 * Every way in which Godwit says no, as one table: the code is stable, the exit code is the contract of the command
 * (docs/reference/errors.md is generated from here), and `meaning` is the sentence of the reference page.
 *
 * Messages are composed where the error is thrown, in a fixed order: what was wanted, what was found. `next` holds
 * the commands or edits that lead on. Neither ever holds a field value or a password.
 */
export const ERROR_CODES = {
  // usage, configuration, target: exit 2, nothing was touched
  GODWIT_USAGE: { exit: 2, meaning: 'The command line is not one that the command knows.' },
  GODWIT_CONFIG: { exit: 2, meaning: 'The configuration holds a key or a value that is not known.' },
  GODWIT_NO_URI: { exit: 2, meaning: 'No MongoDB URI or no database name was given.' },
  GODWIT_BAD_URI: { exit: 2, meaning: 'The MongoDB URI cannot be parsed.' },
  GODWIT_CONFIRM: {
    exit: 2,
    meaning: 'A confirmation is needed: the database is not on this machine, or is production.',
  },
  GODWIT_MIGRATION_UNKNOWN: { exit: 2, meaning: 'No migration file has this id.' },
  GODWIT_MIGRATION_BROKEN: { exit: 2, meaning: 'A migration file cannot be loaded, or is not a migration.' },
  GODWIT_MIGRATION_DUPLICATE: { exit: 2, meaning: 'Two migration files share one id.' },
  GODWIT_DEPENDENCY: { exit: 2, meaning: 'A migration named in dependsOn is unknown or not completed.' },
  GODWIT_CHECKSUM: { exit: 2, meaning: 'The file of a migration that has begun was changed.' },
  GODWIT_STANDALONE: { exit: 2, meaning: 'The server is a standalone: it has no transactions.' },
  GODWIT_SHARDED: { exit: 2, meaning: 'The server is a mongos: not tested yet, so writing is refused.' },
  GODWIT_SERVER_VERSION: { exit: 2, meaning: 'The server is older than MongoDB 6.0.' },
  GODWIT_TARGET: {
    exit: 2,
    meaning: 'The target is no collection that can be migrated (missing, view, capped, time series).',
  },
  GODWIT_FOREIGN_STATE: { exit: 2, meaning: "The state collection holds another tool's documents." },
  GODWIT_NEWER_STATE: { exit: 2, meaning: 'The state was written by a newer version of Godwit.' },
  GODWIT_NOT_RUN: { exit: 2, meaning: 'There is no run of this migration to act on.' },
  GODWIT_DOCUMENT_UNKNOWN: { exit: 2, meaning: 'No document has the _id that was asked for.' },
  GODWIT_NO_MONGOD: { exit: 2, meaning: 'No mongod was found for the embedded server.' },
  GODWIT_PURGED: { exit: 2, meaning: 'The audit of the run was purged: there is no way back.' },
  GODWIT_EXISTS: { exit: 2, meaning: 'A file that would be written exists already.' },
  GODWIT_NO_ROOM: { exit: 3, meaning: "What the run would write does not fit the server's disk or its oplog." },
  GODWIT_CONTRACT: { exit: 3, meaning: 'The contract phase may not begin: something is not proven, or not waived.' },
  GODWIT_WINDOW_CLOSED: { exit: 3, meaning: 'The maintenance window of the configuration has closed.' },
  // the run
  GODWIT_LEASE_HELD: { exit: 5, meaning: 'Another runner holds the lease of this migration.' },
  GODWIT_LEASE_LOST: { exit: 5, meaning: 'Another runner took the lease over; nothing was committed since.' },
  GODWIT_FAILURES: {
    exit: 1,
    meaning: 'More documents failed than --max-failures allows; the run stopped, resumable.',
  },
  GODWIT_CONFLICTS: {
    exit: 1,
    meaning: 'A batch met write conflicts or interruptions more often than the bound allows.',
  },
  GODWIT_STILL_WRITTEN: {
    exit: 1,
    meaning: 'The application keeps writing documents in the old shape; the run cannot end.',
  },
  GODWIT_TARGET_REPLACED: { exit: 1, meaning: 'The collection is no longer the one that was planned.' },
  GODWIT_SCRIPT: { exit: 1, meaning: 'A script threw. Resumable: it begins anew, and meets what it has done.' },
  GODWIT_SCHEMA: { exit: 1, meaning: 'A schema step cannot be done: the database is not as it must be. Resumable.' },
  GODWIT_NO_ANSWER: { exit: 1, meaning: 'The runner did not answer what was asked of it.' },
  GODWIT_OTHER_SERVER: { exit: 1, meaning: 'This is another replica set than the one the run began on.' },
  GODWIT_RESTORED: {
    exit: 1,
    meaning: 'The state was restored from a backup; it may not be believed. The next run plans anew.',
  },
  GODWIT_STATE_LOST: { exit: 1, meaning: 'State that the run needs is gone (chunks or audit).' },
  GODWIT_STATE_EDITED: { exit: 1, meaning: 'State was changed outside Godwit.' },
  GODWIT_NO_PRIMARY: { exit: 1, meaning: 'No primary could be reached.' },
  GODWIT_AUTH: { exit: 1, meaning: 'The server refused the user or the password.' },
  GODWIT_FORBIDDEN: { exit: 1, meaning: 'The user lacks a right that the command needs.' },
  GODWIT_INTERRUPTED: { exit: 130, meaning: 'Stopped by Ctrl-C; the cursor is saved.' },
  GODWIT_STOPPED: { exit: 7, meaning: 'Stopped on request; resumable.' },
  GODWIT_REPORT_NOT_WRITTEN: { exit: 1, meaning: 'A report that was asked for could not be written.' },
  GODWIT_UNEXPECTED: {
    exit: 1,
    meaning: 'Something that was not foreseen; the database is as the last commit left it.',
  },
  // one document (found in migrations_failures, in dry-run reports)
  GODWIT_TRANSFORM_THREW: { exit: 1, meaning: 'up() threw.' },
  GODWIT_TRANSFORM_ESCAPED: { exit: 1, meaning: "An error escaped from the migration's code: nobody waited for it." },
  GODWIT_TRANSFORM_ASYNC: { exit: 1, meaning: 'up() returned a promise; it must be synchronous.' },
  GODWIT_TRANSFORM_RETURN: { exit: 1, meaning: 'up() returned no document.' },
  GODWIT_TRANSFORM_ID: { exit: 1, meaning: 'up() changed _id.' },
  GODWIT_TRANSFORM_MUTATES: { exit: 1, meaning: 'up() changed its input, which is frozen.' },
  GODWIT_TRANSFORM_TIMEOUT: { exit: 1, meaning: 'up() did not return in time.' },
  GODWIT_TRANSFORM_VALUE: { exit: 1, meaning: 'up() returned a value that BSON cannot hold.' },
  GODWIT_PIPELINE: { exit: 1, meaning: 'The pipeline of the step cannot be evaluated for the document.' },
  GODWIT_NOT_IDEMPOTENT: { exit: 1, meaning: 'The step applied to its own result changes it again.' },
  GODWIT_NOT_DETERMINISTIC: { exit: 1, meaning: 'The step gave two results for one document.' },
  GODWIT_REJECTED: { exit: 1, meaning: 'up() rejected the document.' },
  GODWIT_TOO_LARGE: { exit: 1, meaning: 'The document would exceed 16 MiB.' },
  GODWIT_NOT_CARRIED: { exit: 1, meaning: 'A changed field holds BSON that the driver cannot carry exactly.' },
  GODWIT_DUPLICATE: { exit: 1, meaning: 'A unique index refuses the document.' },
  GODWIT_INDEX: { exit: 1, meaning: 'An index cannot take the document: two arrays in one key, a place that is none.' },
  GODWIT_VALIDATION: { exit: 1, meaning: "The collection's validator refuses the document." },
} as const satisfies Record<string, { exit: number; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface GodwitErrorOptions {
  /** What to do next: whole sentences or commands, one a line. */
  readonly next?: readonly string[];
  /** Facts for programs (`--json`): ids, counts, names; never field values. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The one error class. `code` decides the exit code; `message` says what was wanted and what was found. */
export class GodwitError extends Error {
  readonly code: ErrorCode;
  readonly next: readonly string[];
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: GodwitErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GodwitError';
    this.code = code;
    this.next = options.next ?? [];
    this.details = options.details ?? {};
  }

  /** The command's exit code for this error. */
  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }
}

/** True for a GodwitError, of any copy of this package. */
export function isGodwitError(error: unknown): error is GodwitError {
  return error instanceof Error && error.name === 'GodwitError' && 'code' in error;
}
