/** What a dry run says of a merge. */
import type { Legacy } from '../domain/merge-step.js';
import type { ShownId } from './shown-id.js';

/** Documents that are the same, and become one. */
export interface Double {
  /** Of the canonical document. */
  readonly _id: ShownId;
  readonly members: readonly { readonly collection: string; readonly _id: ShownId }[];
  /** Names of fields in which they differ. */
  readonly fields: readonly string[];
}

/** In how many groups a field differs, and whose value stays. */
export interface FieldConflicts {
  readonly target: number;
  readonly source: number;
  readonly other: number;
}

export interface MergeReport {
  readonly into: string;
  /** What becomes of the merged documents. */
  readonly source: Legacy;
  /** Documents of each source that are merged. */
  readonly sources: Readonly<Record<string, number>>;
  /** Canonical documents that something is merged into. */
  readonly groups: number;
  /** Those of them that are made of two documents or more. */
  readonly doubles: number;
  /** Documents of the largest. */
  readonly largest: number;
  /** Documents of the canonical collection that are the same as another one of it: they stay as they are. */
  readonly targetDoubles: number;
  readonly conflicts: Readonly<Record<string, FieldConflicts>>;
  /** The first of the doubles. */
  readonly first: readonly Double[];
}
