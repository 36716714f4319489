/** What a step makes of documents: `up` in this process, or a pipeline inside the server. */
import type { ClientSession } from 'mongodb';
import { isDocumentCarried } from '../domain/carried.js';
import type { Change, Decision } from '../domain/change.js';
import type { LegacyStep } from '../domain/legacy-step.js';
import type { DocumentStep, Step, TransformFunction, TransformStep } from '../domain/migration.js';
import type { PipelineStep } from '../domain/pipeline-step.js';
import { type DocumentUnit, decideSeries, downsOf, partsOf, type SeriesStep } from '../domain/series-step.js';
import { type StoredDocument, storedDocument } from '../domain/stored-document.js';
import { chosenAmong } from '../mongo/evaluate.js';
import { tablesOf } from '../mongo/lookups.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import { pipelineRefusal } from '../mongo/server-errors.js';
import { applyGiven, applyInside, applyOutside, type Inside, inPlace } from './apply-pipeline.js';
import { applySeries, type Met, type PartEvaluation } from './apply-series.js';
import { applyTransform, type Locate } from './apply-transform.js';
import { decideLegacy, type MergedLook, mergedFor } from './legacy.js';
import { lookupsFor } from './lookups-for.js';
import { readFrom, type StepContext } from './run-context.js';
import { NO_THREADS, type Threads } from './transform-threads.js';

export interface Evaluation {
  readonly step: DocumentUnit;
  readonly from: ReadFrom;
  readonly locate: Locate;
  /** Longest time of one call of `up`, in ms. */
  readonly timeoutMs: number;
  /** Where the step's place in the migration is known, and heavy transforms go to threads. */
  readonly threads?: Pick<Threads, 'apply' | 'measured'>;
  readonly stepIndex?: number;
  /** Of source documents: what they are merged into. */
  readonly merged?: MergedLook;
}

export const evaluationOf = (context: StepContext, step: DocumentUnit): Evaluation => ({
  step,
  from: readFrom(context),
  locate: context.locate,
  timeoutMs: context.settings.transformTimeoutMs,
  threads: context.threads,
  stepIndex: context.stepIndex,
  ...mergedFor(context, step),
});

/** What each of the functions makes of the documents, which look up once for all of them. */
async function transformBy(
  { from, locate, timeoutMs }: Evaluation,
  step: TransformStep,
  functions: readonly TransformFunction[],
  documents: readonly StoredDocument[],
  session?: ClientSession,
): Promise<Decision[][]> {
  const lookups = tablesOf(step.lookup, await lookupsFor(from, step, documents, session));
  return functions.map((fn) => applyTransform(documents, { fn, locate, timeoutMs }, lookups));
}

async function transform(
  how: Evaluation,
  step: TransformStep,
  documents: readonly StoredDocument[],
  session?: ClientSession,
): Promise<Decision[]> {
  const { from, locate, timeoutMs, threads = NO_THREADS, stepIndex = 0 } = how;
  const found = await lookupsFor(from, step, documents, session);
  const elsewhere = await threads.apply(stepIndex, documents, found);
  if (elsewhere) return elsewhere;
  const up = timed(step.up);
  const decisions = applyTransform(documents, { fn: up.fn, locate, timeoutMs }, tablesOf(step.lookup, found));
  threads.measured(up.ms());
  return decisions;
}

/** A function that knows how long its calls have taken together, in ms: what is made of its results is not its work. */
function timed(fn: TransformFunction): { readonly fn: TransformFunction; readonly ms: () => number } {
  let ms = 0;
  return {
    fn: (document, context) => {
      const startedAt = performance.now();
      try {
        return fn(document, context);
      } finally {
        ms += performance.now() - startedAt;
      }
    },
    ms: () => ms,
  };
}

/** Each step of a series in this thread; the filter of the second is asked about what the first has made. */
const partsOfSeries = (how: Evaluation): PartEvaluation => ({
  chosen: (step, documents) => chosen(how, step, documents),
  decided: async (step, documents, session) =>
    step.kind === 'transform'
      ? ((await transformBy(how, step, [step.up], documents, session))[0] ?? [])
      : applyGiven(how.from, step, documents),
});

/** @param met told which documents each step meets */
const series = (
  how: Evaluation,
  step: SeriesStep,
  documents: readonly StoredDocument[],
  session?: ClientSession,
  met?: Met,
): Promise<Decision[]> => applySeries(partsOfSeries(how), step, documents, session, met);

/** A document as it comes to one of the steps of its unit: what those before it have made of it. */
export async function asMet(how: Evaluation, part: Step, document: StoredDocument): Promise<StoredDocument> {
  if (how.step.kind !== 'series') return document;
  let found = document;
  await series(how, how.step, [document], undefined, async (step, [met]) => {
    if (step === part && met) found = met;
  });
  return found;
}

const NOTHING_MERGED: MergedLook = async () => new Map();

const legacy = (
  { locate, timeoutMs, merged = NOTHING_MERGED }: Evaluation,
  step: LegacyStep,
  documents: readonly StoredDocument[],
  session?: ClientSession,
): Promise<Decision[]> => decideLegacy(step, documents, { merged, author: { locate, timeoutMs } }, session);

/**
 * One decision a document, in their order.
 *
 * @param inside the transaction that has read them, if it is one
 * @throws PipelineFailed inside a transaction, where a failing pipeline has ended it
 */
export async function evaluate(
  how: Evaluation,
  documents: readonly StoredDocument[],
  inside?: Inside,
): Promise<Decision[]> {
  const { step, from } = how;
  if (documents.length === 0) return [];
  if (step.kind === 'transform') return transform(how, step, documents, inside?.session);
  if (step.kind === 'series') return series(how, step, documents, inside?.session);
  if (step.kind === 'legacy') return legacy(how, step, documents, inside?.session);
  return inside ? applyInside(from, step, documents, inside) : applyOutside(from, step, documents);
}

/** Those that the filter chooses, though they are stored nowhere. */
async function chosen(
  { from }: Evaluation,
  { filter }: Step,
  documents: readonly StoredDocument[],
): Promise<readonly StoredDocument[]> {
  if (!filter || documents.length === 0) return documents;
  const given = documents.map(({ bytes }) => bytes);
  const keys = await chosenAmong(from.db, filter, given);
  return documents.filter(({ key }) => keys.has(key));
}

/** What the step makes of documents, and what it makes of the same once more: null where that cannot be another. */
export async function evaluateTwice(
  how: Evaluation,
  documents: readonly StoredDocument[],
  met: Met,
): Promise<{ readonly decisions: readonly Decision[]; readonly again: readonly Decision[] | null }> {
  const { step } = how;
  if (step.kind === 'series')
    return {
      decisions: await series(how, step, documents, undefined, met),
      again: await series(how, step, documents),
    };
  // What is asked of the author there, was asked at the merge.
  if (step.kind === 'legacy') return { decisions: await legacy(how, step, documents), again: null };
  await met(step, documents);
  if (step.kind === 'pipeline') return { decisions: await evaluate(how, documents), again: null };
  const [decisions = [], again = []] = await transformBy(how, step, [step.up, step.up], documents);
  return { decisions, again };
}

/** The step, and its `down` where it has one, applied to its results. */
export async function evaluateBack(
  how: Evaluation,
  changes: readonly Change[],
): Promise<{ readonly results: readonly Decision[]; readonly back: readonly Decision[] | null }> {
  const { step } = how;
  if (step.kind === 'legacy') return { results: [], back: null };
  const documents = changes.map(({ after }) => storedDocument(after));
  if (step.kind !== 'transform' || !step.down) {
    const results = await evaluateResults(how, changes);
    return { results, back: downsOf(step) ? await backThrough(how, documents) : null };
  }
  const [results = [], back = []] = await transformBy(how, step, [step.up, step.down], documents);
  return { results: await leftByFilter(how, step, results), back };
}

/** Through the inverses of a series, last step first. */
async function backThrough(how: Evaluation, documents: readonly StoredDocument[]): Promise<Decision[]> {
  let now = [...documents];
  const failed = new Map<StoredDocument, Decision>();
  for (const part of partsOf(how.step).toReversed()) {
    if (part.kind !== 'transform' || !part.down) continue;
    const [decisions = []] = await transformBy(how, part, [part.down], now);
    for (const [at, document] of documents.entries())
      if (decisions[at]?.kind === 'failed') failed.set(document, { ...decisions[at], document });
    now = now.map((document, at) => {
      const decision = decisions[at];
      return decision?.kind === 'changed' ? storedDocument(decision.change.after) : document;
    });
  }
  return documents.map((document, at) => failed.get(document) ?? decideSeries(document, now[at] ?? document));
}

/**
 * The step applied to its own results: filter and function together. Those that its filter no longer chooses are left
 * alone by it; those that JavaScript cannot carry cannot be asked about, and stay as they were decided.
 */
export async function evaluateResults(
  how: Evaluation,
  changes: readonly Change[],
  session?: ClientSession,
): Promise<Decision[]> {
  const { step } = how;
  if (step.kind === 'legacy') return [];
  const results = changes.map(({ after }) => storedDocument(after));
  if (step.kind === 'series') return series(how, step, results, session);
  if (step.kind === 'pipeline') return pipelineResults(how, step, results);
  return leftByFilter(how, step, (await transformBy(how, step, [step.up], results, session))[0] ?? []);
}

/** All, where the filter cannot be asked about documents that are stored nowhere (`$text`). */
const stillChosen = (how: Evaluation, step: DocumentStep, documents: readonly StoredDocument[]) =>
  chosen(how, step, documents).catch((error: unknown) => {
    if (pipelineRefusal(error)) return documents;
    throw error;
  });

async function pipelineResults(
  how: Evaluation,
  step: PipelineStep,
  results: readonly StoredDocument[],
): Promise<Decision[]> {
  const open = await stillChosen(how, step, results.filter(isDocumentCarried));
  const decided = await applyGiven(how.from, step, open);
  return inPlace(results, open, decided, (document) => ({ kind: 'unchanged', document }));
}

const documentOf = (decision: Decision): StoredDocument =>
  decision.kind === 'changed' ? decision.change.before : decision.document;

/** Only what the function would not leave alone is asked about: mostly nothing. */
async function leftByFilter(how: Evaluation, step: TransformStep, decisions: Decision[]): Promise<Decision[]> {
  const open = decisions
    .filter(({ kind }) => kind === 'changed' || kind === 'failed')
    .map(documentOf)
    .filter(isDocumentCarried);
  if (!step.filter || open.length === 0) return decisions;
  const there = new Set(await stillChosen(how, step, open));
  const left = new Set(open.filter((document) => !there.has(document)));
  return decisions.map((decision) => {
    const document = documentOf(decision);
    return left.has(document) ? { kind: 'unchanged', document } : decision;
  });
}
