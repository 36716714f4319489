/** `audit`: before and after of every document that a run changed, field by field. */
import { type AuditEntry, decodeEntries } from '../domain/audit-entry.js';
import type { Chunk } from '../domain/chunk.js';
import type { RunDocument } from '../domain/run.js';
import { keyOf, typedId } from '../domain/stored-document.js';
import { GodwitError } from '../errors.js';
import { toExtendedJson, toTyped } from '../kernel/values.js';
import { auditAround, auditOfChunk, auditTotals, type StoredAuditBatch } from '../mongo/audit-entries.js';
import { listChunks } from '../mongo/chunks.js';
import { type RenderedEntry, renderEntry } from '../report/audit-entry.js';
import type { Visibility } from '../report/samples.js';
import { resolveId } from './by-id.js';
import { auditedIds } from './document-id.js';
import { requireAuditKept, requireRun, type Session } from './session.js';
import { writeWhole } from './write-file.js';

export interface AuditOptions {
  /** One document, by its `_id` as a text. */
  readonly doc?: string | undefined;
  /** Only this field (a dotted path), and what lies below it. */
  readonly field?: string | undefined;
  /** Entries shown at most. Default 20. */
  readonly limit?: number | undefined;
  readonly showValues?: boolean | undefined;
  /** Every entry is written here as Extended JSON, one a line, with values: it was asked for by name. */
  readonly out?: string | undefined;
}

export interface AuditResult {
  readonly migration: string;
  readonly runId: string;
  readonly entries: readonly RenderedEntry[];
  /** Changed documents of the run, all together. */
  readonly total: number;
  readonly batches: number;
  readonly bytes: number;
  readonly file: string | null;
  readonly written: number;
}

interface Found {
  readonly batch: StoredAuditBatch;
  readonly entry: AuditEntry;
}

/** @throws GodwitError GODWIT_STATE_EDITED for images that are not those that were stored */
function entriesIn({ head, images, isIntact }: StoredAuditBatch): AuditEntry[] {
  if (isIntact) return decodeEntries(images);
  throw new GodwitError(
    'GODWIT_STATE_EDITED',
    `wanted the audit of batch ${head.seq} of chunk ${head.chunk}, found it changed outside Godwit`,
    {
      next: ['godwit verify ID   names every broken place', 'restore the audit collection from a backup'],
    },
  );
}

async function* entriesOf(session: Session, run: RunDocument): AsyncGenerator<Found> {
  const chunks: readonly Chunk[] = await listChunks(session.state, run._id);
  for (const direction of ['up', 'down'] as const)
    for (const chunk of chunks)
      for await (const batch of auditOfChunk(session.state, chunk, direction))
        if (batch.head.n > 0) for (const entry of entriesIn(batch)) yield { batch, entry };
}

async function* entriesOfDocument(session: Session, run: RunDocument, text: string): AsyncGenerator<Found> {
  for (const id of await auditedIds(session.state, run._id, text))
    for (const batch of await auditAround(session.state, run._id, id))
      for (const entry of entriesIn(batch)) if (entry.before.key === keyOf(id)) yield { batch, entry };
}

/** One line of the export: everything, exactly. */
function exported(run: RunDocument, { batch, entry }: Found): string {
  const { head } = batch;
  const collection = run.steps[head.step]?.collection ?? '';
  return `${JSON.stringify({
    run: run._id,
    collection,
    direction: head.direction,
    kind: entry.kind,
    seq: head.seq,
    at: head.at.toISOString(),
    _id: toExtendedJson({ id: typedId(entry.before) }),
    before: entry.kind === 'insert' ? null : toExtendedJson(toTyped(entry.before.bytes)),
    set: toExtendedJson(entry.set),
    unset: entry.unset,
    afterSha256: entry.hash.toString('hex'),
  })}\n`;
}

/**
 * The audit of the migration's current run.
 *
 * @throws GodwitError GODWIT_NOT_RUN, GODWIT_DOCUMENT_UNKNOWN, GODWIT_REPORT_NOT_WRITTEN
 */
export async function audit(session: Session, id: string, options: AuditOptions = {}): Promise<AuditResult> {
  const run = await requireRun(session, await resolveId(session, id));
  requireAuditKept(run);
  const source = (): AsyncGenerator<Found> =>
    options.doc === undefined ? entriesOf(session, run) : entriesOfDocument(session, run, options.doc);
  const visibility: Visibility = { showValues: options.showValues ?? false, redact: session.config.settings.redact };
  let written = 0;
  if (options.out !== undefined) {
    const lines = async function* (): AsyncGenerator<string> {
      for await (const found of source()) {
        written += 1;
        yield exported(run, found);
      }
    };
    // With values: for its owner only.
    await writeWhole(options.out, 'the audit', lines(), 0o600);
  }
  const entries: RenderedEntry[] = [];
  if (options.out === undefined)
    for await (const { batch, entry } of source()) {
      entries.push(
        renderEntry(run.steps[batch.head.step]?.collection ?? '', batch.head, entry, {
          ...visibility,
          field: options.field,
        }),
      );
      if (entries.length >= (options.limit ?? 20)) break;
    }
  if (options.doc !== undefined && entries.length === 0 && written === 0)
    throw new GodwitError(
      'GODWIT_DOCUMENT_UNKNOWN',
      `wanted the audit of a document by the _id given to --doc, found no entry of it in run ${run._id}`,
      {
        next: ['an ObjectId is given as its 24 hex digits, other types as Extended JSON'],
      },
    );
  const totals = await auditTotals(session.state, run._id, 'up');
  return {
    migration: run.migration,
    runId: run._id,
    entries,
    total: totals.entries,
    batches: totals.batches,
    bytes: totals.bytes,
    file: options.out ?? null,
    written,
  };
}
