/** A quarantined document: what refused it, and its bytes as they were (they are never altered). */
import type { Binary } from 'bson';
import type { ErrorCode } from '../errors.js';

export interface FailureDocument {
  readonly _id: string;
  readonly godwit: number;
  readonly run: string;
  readonly migration: string;
  readonly chunk: string;
  readonly step: number;
  readonly collection: string;
  /** The document's `_id`, exactly. */
  readonly documentId: unknown;
  readonly code: ErrorCode;
  readonly message: string;
  readonly at: string | null;
  /** Who has its key in a unique index; null where that is not it, or cannot be told. */
  readonly other: { readonly id: unknown } | null;
  /** Equal exactly when the `_id`s are. */
  readonly key: string;
  /** Null for a document that does not fit beside the rest: it stays in its collection as it is. */
  readonly image: Binary | null;
  readonly when: Date;
}
