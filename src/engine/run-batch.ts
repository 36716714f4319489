/**
 * One batch, one transaction: read → transform → audit → checkpoint → data → commit.
 *
 * Killed before the commit, nothing happened; killed after it, the cursor is past the batch; there is no third case,
 * so there is no recovery code. Everything that is written to is written last, since from the first write on the
 * documents are held; the audit and the chunk belong to Godwit alone.
 */
import type { ClientSession } from 'mongodb';
import { journal } from '../audit/journal.js';
import type { DecidedBatch, JournaledBatch, ReadBatch } from '../domain/batch.js';
import type { Decision } from '../domain/change.js';
import { type Chunk, type Counters, writtenOf } from '../domain/chunk.js';
import { BATCH_PHASES, type BatchPhase } from '../domain/phases.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { afterCheckpoint, type Checkpoint, checkpoint, countersAfter } from '../mongo/chunks.js';
import { clearFailures, quarantinedAmong, storeFailures } from '../mongo/failures.js';
import { lockDocument } from '../mongo/lock-first.js';
import { withoutMark } from '../mongo/lock-mark.js';
import { isDuplicateKey } from '../mongo/server-errors.js';
import { inTransaction } from '../mongo/transaction.js';
import { inPlace, PipelineFailed } from './apply-pipeline.js';
import { checkFirst } from './check-first.js';
import { decideBatch } from './decide-batch.js';
import { BatchTaken, CheckpointMismatch, requireAudit, settle } from './doubt.js';
import { Effort } from './effort.js';
import { evaluate, evaluationOf } from './evaluate.js';
import { faultPoint } from './fault-points.js';
import { decideGiven } from './given.js';
import { decideMerge, storeInIdMap } from './merge-batch.js';
import { commitPatience, isRange, type StepContext } from './run-context.js';
import type { Counting, Source } from './source.js';
import { nameFailing, writeChanges } from './step-batch.js';

export interface BatchOutcome {
  readonly batch: DecidedBatch;
  /** The chunk as it stands after the batch. */
  readonly chunk: Chunk;
  readonly redone: number;
  /** Documents that the committed try was allowed. */
  readonly limit: number;
  /** Documents that it read. */
  readonly read: number;
  /** In ms. */
  readonly times: Readonly<Record<BatchPhase, number>>;
}

/** Carries out the next batch of the chunk; redone until it is committed, or an error ends the run. */
export async function runBatch(
  context: StepContext,
  chunk: Chunk,
  source: Source,
  session: ClientSession,
  limit = context.settings.batchSize,
): Promise<BatchOutcome> {
  const effort = new Effort(limit, { ...context.settings, target: context.target });
  let current = chunk;
  for (;;) {
    const attempt = new Attempt(context, current, source, session, effort);
    try {
      const outcome = await attempt.run();
      context.activity.through(session);
      return outcome;
    } catch (error) {
      const seen = await settle(context, current, error);
      if (seen === 'committed' && attempt.outcome) {
        context.activity.through(session);
        return attempt.outcome;
      }
      context.activity.redone(error);
      if (seen !== 'committed' && seen !== 'open') current = seen;
      const met = error instanceof PipelineFailed ? await nameFailing(context, effort, error) : error;
      if (met !== null && !(met instanceof CheckpointMismatch))
        await effort.after(met, context.signal, commitPatience(context).note);
      if (context.signal.aborted) throw context.signal.reason;
    }
  }
}

/**
 * What a batch adds to the counters: `scanned` stays the sum of the others. Documents out of quarantine were counted as
 * failed before, and are counted once.
 */
function counted(batch: DecidedBatch, counts: Counting, quarantined: ReadonlySet<string>): Counters {
  const { counters, untouched } = batch;
  const { failed } = counters;
  const right = untouched.filter(({ key }) => quarantined.has(key)).length;
  const scanned = writtenOf(counters) + failed + right;
  const all = counts === 'all' ? counters : { ...counters, scanned, unchanged: right, skipped: 0 };
  return { ...all, scanned: all.scanned - quarantined.size, failed: all.failed - quarantined.size };
}

/** One try of one batch. */
class Attempt {
  outcome: BatchOutcome | undefined;
  readonly #times = { read: 0, transform: 0, audit: 0, write: 0, commit: 0 };
  #mark = performance.now();

  constructor(
    private readonly context: StepContext,
    private readonly chunk: Chunk,
    private readonly source: Source,
    private readonly session: ClientSession,
    private readonly effort: Effort,
  ) {}

  async run(): Promise<BatchOutcome> {
    this.#at('read');
    await faultPoint('batch:before-read');
    const outcome = await this.#inTransaction();
    await faultPoint('batch:after-commit');
    this.#lap('commit');
    return outcome;
  }

  async #inTransaction(): Promise<BatchOutcome> {
    try {
      return await inTransaction(this.session, () => this.#body(), commitPatience(this.context, this.session));
    } finally {
      this.context.watch.release(this.session);
    }
  }

  #lap(phase: BatchPhase): void {
    const now = performance.now();
    this.#times[phase] += now - this.#mark;
    this.#mark = now;
    const next = BATCH_PHASES[BATCH_PHASES.indexOf(phase) + 1];
    if (next) this.#at(next);
  }

  #at(phase: BatchPhase): void {
    this.context.activity.at(this.session, phase);
  }

  async #body(): Promise<BatchOutcome> {
    const { context, chunk, session, effort } = this;
    const { hot } = effort;
    const read = await this.#read(hot);
    this.#lap('read');
    const batch = await this.#decide(read);
    await faultPoint('batch:after-read');
    this.#lap('transform');

    await requireAudit(context, [chunk], session);
    const journaled = await journal(
      context.state,
      chunk,
      batch,
      { direction: 'up', seq: chunk.seq + 1, round: 0 },
      isRange(context, chunk),
      session,
    ).catch((error: unknown) => {
      throw isDuplicateKey(error) ? new BatchTaken('audit') : error;
    });
    await faultPoint('batch:after-audit');
    const moved = this.#moved(journaled);
    const askedAt = performance.now();
    if (!(await checkpoint(context.state, chunk, moved, session))) throw new CheckpointMismatch('checkpoint');
    effort.roundTripMs = performance.now() - askedAt;
    await storeFailures(
      context.state,
      chunk,
      batch.failed,
      { migration: context.run.migration, collection: context.step.collection },
      session,
    );
    await clearFailures(context.state, chunk, batch.healed, session);
    await storeInIdMap(context, read, journaled, session);
    await faultPoint('batch:after-checkpoint');
    this.#lap('audit');

    effort.writing = batch.changes.map(({ before }) => before.key);
    context.watch.hold(session, effort.roundTripMs);
    await writeChanges(context, journaled, { session, isSingle: effort.isSingle, hot, isFirst: this.#isFirst });
    await faultPoint('batch:after-data');
    this.#lap('write');
    this.outcome = {
      batch,
      chunk: afterCheckpoint(chunk, moved),
      redone: effort.redone,
      limit: effort.limit,
      read: read.documents.length,
      times: this.#times,
    };
    await faultPoint('batch:before-commit');
    return this.outcome;
  }

  get #isFirst(): boolean {
    return this.chunk.seq === 0;
  }

  /** Reads the batch; a hot document is locked before. */
  async #read(hot: { readonly id: unknown } | null): Promise<ReadBatch> {
    const { context, effort, session } = this;
    if (hot) {
      context.watch.hold(session, effort.roundTripMs);
      await lockDocument(context.target, hot.id, session);
    }
    const read = await this.source.read({ limit: effort.limit, maxBytes: context.settings.maxBatchBytes, session });
    const [first, second] = read.documents;
    effort.alone = first && !second ? { id: typedId(first) } : null;
    return hot ? withoutMark(read) : read;
  }

  /** Keys of the batch's documents that are in quarantine. */
  async #quarantined({ changes, untouched, failed }: DecidedBatch): Promise<ReadonlySet<string>> {
    if (this.context.tally.counters.failed === 0) return new Set();
    const documents = [...changes.map(({ before }) => before), ...untouched, ...failed.map(({ document }) => document)];
    return quarantinedAmong(this.context.state, this.chunk, documents, this.session);
  }

  #moved(batch: JournaledBatch): Checkpoint {
    return {
      cursor: batch.cursor ?? this.chunk.cursor,
      counters: countersAfter(this.chunk, batch.counters),
      isDone: this.source.closesChunk && batch.isLast,
      chain: batch.chain,
    };
  }

  async #evaluate(read: ReadBatch): Promise<Decision[]> {
    const { context, effort, session } = this;
    const { documents } = read;
    if (context.step.kind === 'merge') return decideMerge(context.step, read);
    if (context.step.kind === 'given') return decideGiven(context.step, documents);
    if (context.step.kind === 'script') throw new RangeError('a script has no documents of its own');
    const how = evaluationOf(context, context.step);
    // A pipeline fails as a whole: documents on which it did are not evaluated again.
    const isOpen = ({ key }: StoredDocument): boolean => how.step.kind !== 'pipeline' || !effort.refused.has(key);
    const open = documents.filter(isOpen);
    const decided = await evaluate(how, open, { session, isMarked: effort.hot !== null });
    const decisions = this.#isFirst ? await checkFirst(how, decided, session) : decided;
    return inPlace(documents, open, decisions, (document) => effort.refusalOf(document));
  }

  async #decide(read: ReadBatch): Promise<DecidedBatch> {
    const { context, effort } = this;
    const decisions = await this.#evaluate(read);
    const batch = decideBatch(read, decisions, {
      failuresLeft: context.tally.failuresLeft,
      changesLeft: context.tally.changesLeft,
      refused: effort.refused,
    });
    // Whoever was in quarantine and is not refused any more leaves it, however it came back.
    const quarantined = await this.#quarantined(batch);
    const healed = [...batch.changes.map(({ before }) => before), ...batch.untouched].filter(({ key }) =>
      quarantined.has(key),
    );
    return { ...batch, healed, counters: counted(batch, this.source.counts, quarantined) };
  }
}
