/** What is on record about a migration beside its runs: so far, what somebody has answered for by name. */

/** What must hold before a `contract` phase begins, and no version of Godwit can look at yet. */
export const GATES = {
  readers: 'nothing in the code reads the old names any more',
  watch: 'the new version was watched for long enough',
  backup: 'a backup from behind the migration was restored, to see that it can be',
} as const;

export type Gate = keyof typeof GATES;

export const isGate = (name: string): name is Gate => Object.hasOwn(GATES, name);

/** Somebody answers for a gate that was not checked. */
export interface Waiver {
  readonly _id: string;
  readonly godwit: number;
  readonly kind: 'waiver';
  readonly gate: Gate;
  readonly migration: string;
  /** Of the migration's file: a changed one is another. */
  readonly checksum: string;
  readonly by: string;
  readonly because: string;
  readonly at: Date;
  /** Null: for as long as the file is the same. */
  readonly until: Date | null;
}
