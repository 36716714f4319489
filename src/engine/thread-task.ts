/** What goes to a thread that transforms and what comes back, as bytes: classes do not survive the way. */
import { carriedChange } from '../domain/carried-change.js';
import type { Decision, DocumentFailure } from '../domain/change.js';
import type { MigrationPhase } from '../domain/expand-contract.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { splitDocuments } from '../kernel/raw-bson.js';
import type { FoundDocuments } from '../mongo/lookups.js';

/** What a thread must know before its first task. */
export interface ThreadFacts {
  readonly id: string;
  readonly path: string;
  readonly phase: MigrationPhase | null;
  /** Of the file that the runner has loaded: a thread must not run another one. */
  readonly checksum: string;
  /** Longest time of one call of `up`, in ms. */
  readonly timeoutMs: number;
}

/** Documents one after the other. */
export interface ThreadTask {
  /** Place of the step in the migration. */
  readonly step: number;
  readonly documents: Uint8Array;
  /** What each lookup has found. */
  readonly found: Readonly<Record<string, Uint8Array>>;
}

/** Of a changed document, the lengths of its parts in `bytes`: after, patch; the hash is last. */
type Outcome =
  | { readonly kind: 'changed'; readonly after: number; readonly patch: number; readonly unset: readonly string[] }
  | { readonly kind: 'unchanged' | 'skipped' }
  | { readonly kind: 'failed'; readonly failure: DocumentFailure };

export interface ThreadAnswer {
  readonly outcomes: readonly Outcome[];
  readonly bytes: Uint8Array;
}

/** Bytes of SHA-256. */
const HASH_BYTES = 32;

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const documentsIn = (bytes: Uint8Array): Buffer[] => splitDocuments(asBuffer(bytes));

export const taskOf = (step: number, documents: readonly StoredDocument[], found: FoundDocuments): ThreadTask => ({
  step,
  documents: Buffer.concat(documents.map(({ bytes }) => bytes)),
  found: Object.fromEntries(Object.entries(found).map(([name, raws]) => [name, Buffer.concat(raws)])),
});

export function answerOf(decisions: readonly Decision[]): ThreadAnswer {
  const parts: Buffer[] = [];
  const outcomes = decisions.map((decision): Outcome => {
    if (decision.kind === 'failed') return { kind: 'failed', failure: decision.failure };
    if (decision.kind !== 'changed') return { kind: decision.kind };
    const { after, patch, hash, unset } = decision.change;
    parts.push(after, patch, hash);
    return { kind: 'changed', after: after.length, patch: patch.length, unset };
  });
  return { outcomes, bytes: Buffer.concat(parts) };
}

/** One decision a document, in their order. @throws RangeError when there is not one for each */
export function decisionsOf(documents: readonly StoredDocument[], answer: ThreadAnswer): Decision[] {
  const bytes = asBuffer(answer.bytes);
  let at = 0;
  const take = (length: number): Buffer => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  if (answer.outcomes.length !== documents.length)
    throw new RangeError(`wanted ${documents.length} decisions of a thread, found ${answer.outcomes.length}`);
  return documents.map((document, index): Decision => {
    const outcome = answer.outcomes[index];
    switch (outcome?.kind) {
      case 'changed': {
        const [after, patch, hash] = [take(outcome.after), take(outcome.patch), take(HASH_BYTES)];
        return {
          kind: 'changed',
          change: carriedChange({ before: document, after, patch, hash, unset: outcome.unset }),
        };
      }
      case 'failed':
        return { kind: 'failed', document, failure: outcome.failure };
      default:
        return { kind: outcome?.kind ?? 'unchanged', document };
    }
  });
}
