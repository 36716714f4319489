/** What kind of database this is: it belongs to the database, not to the way in which it is reached. */

export type PlaceKind = 'production' | 'staging' | 'local' | 'remote';

/** What somebody may call a server that no environment of the configuration names. */
export const ENVIRONMENT_KINDS = ['staging', 'production'] as const;
export type EnvironmentKind = (typeof ENVIRONMENT_KINDS)[number];

/** Which database a record is about: a copy of it on another server is another one. */
export interface DatabaseIdentity {
  /** Null where the user may not read it. */
  readonly replicaSetId: string | null;
  readonly setName: string | null;
  readonly database: string;
}

/** Recorded beside the state, at the first use that writes. */
export interface EnvironmentRecord extends DatabaseIdentity {
  /** `environment:DATABASE`. */
  readonly _id: string;
  readonly godwit: number;
  readonly kind: 'environment';
  readonly environmentKind: EnvironmentKind;
  /** Of the configuration; null: it was said by `--env-kind`. */
  readonly environment: string | null;
  readonly by: string;
  readonly at: Date;
}

/** False for the record of a database that was copied here: restored from a backup, for one. */
export function isOf(record: DatabaseIdentity, found: DatabaseIdentity): boolean {
  if (record.database !== found.database) return false;
  if (record.replicaSetId !== null && found.replicaSetId !== null) return record.replicaSetId === found.replicaSetId;
  return record.setName === found.setName;
}
