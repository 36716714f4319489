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
  readonly image: Binary;
  readonly when: Date;
}
