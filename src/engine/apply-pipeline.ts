/** Evaluates a pipeline step over documents: inside a batch's transaction, or outside of any. */
import type { ClientSession } from 'mongodb';
import { isDocumentCarried } from '../domain/carried.js';
import { type Decision, fail } from '../domain/change.js';
import { decideResult } from '../domain/pipeline-change.js';
import type { PipelineStep } from '../domain/pipeline-step.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { CountMismatch } from '../mongo/count-mismatch.js';
import { evaluateGiven, evaluateStored } from '../mongo/evaluate.js';
import { pastMark } from '../mongo/lock-mark.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import { pipelineRefusal } from '../mongo/server-errors.js';

/** Thrown inside a transaction, which is over then: the pipeline fails on a document, and the server names none. */
export class PipelineFailed extends Error {
  constructor(
    cause: unknown,
    readonly documents: readonly StoredDocument[],
  ) {
    super('the pipeline cannot be evaluated for a document', { cause });
    this.name = 'PipelineFailed';
  }
}

/** Inside a transaction, on what it has read. */
export interface Inside {
  readonly session: ClientSession;
  /** The documents carry the mark of a lock. */
  readonly isMarked: boolean;
}

const decideAll = (documents: readonly StoredDocument[], results: readonly Buffer[]): Decision[] =>
  documents.map((document, at) => decideResult(document, results[at] ?? document.bytes));

/** @throws PipelineFailed */
export async function applyInside(
  from: ReadFrom,
  { update }: PipelineStep,
  documents: readonly StoredDocument[],
  { session, isMarked }: Inside,
): Promise<Decision[]> {
  try {
    const ids = documents.map(typedId);
    return decideAll(documents, await evaluateStored(from, pastMark(update, isMarked), ids, session));
  } catch (error) {
    throw pipelineRefusal(error) ? new PipelineFailed(error, documents) : error;
  }
}

type Ask = (documents: readonly StoredDocument[]) => Promise<Buffer[]>;

/** Halves what the server refuses until the documents are found on which the pipeline fails. */
async function halving(documents: readonly StoredDocument[], ask: Ask): Promise<Decision[]> {
  const [first] = documents;
  if (!first) return [];
  try {
    return decideAll(documents, await ask(documents));
  } catch (error) {
    const refusal = pipelineRefusal(error);
    if (!refusal) throw error;
    if (documents.length === 1) return [fail(first, refusal.code, refusal.message)];
    const middle = Math.ceil(documents.length / 2);
    const front = await halving(documents.slice(0, middle), ask);
    return [...front, ...(await halving(documents.slice(middle), ask))];
  }
}

/** @param documents of which JavaScript can carry each; they need not be stored anywhere */
export const applyGiven = (
  { db }: ReadFrom,
  { update }: PipelineStep,
  documents: readonly StoredDocument[],
): Promise<Decision[]> =>
  halving(documents, (some) =>
    evaluateGiven(
      db,
      update,
      some.map(({ bytes }) => bytes),
    ),
  );

/**
 * Decisions on some of the documents, in the place of these.
 *
 * @param asked those that the decisions are about, in their order
 * @param other decides on each of the rest
 */
export async function inPlace(
  documents: readonly StoredDocument[],
  asked: readonly StoredDocument[],
  decisions: readonly Decision[],
  other: (document: StoredDocument) => Decision | Promise<Decision>,
): Promise<Decision[]> {
  const decided = new Map(asked.map((document, at) => [document, decisions[at]]));
  const all: Decision[] = [];
  for (const document of documents) all.push(decided.get(document) ?? (await other(document)));
  return all;
}

/** One that was deleted since it was read has nothing left to be changed. */
async function applyStored(from: ReadFrom, { update }: PipelineStep, document: StoredDocument): Promise<Decision> {
  const unchanged: Decision = { kind: 'unchanged', document };
  try {
    const [decision] = await halving([document], (some) => evaluateStored(from, update, some.map(typedId)));
    return decision ?? unchanged;
  } catch (error) {
    if (error instanceof CountMismatch) return unchanged;
    throw error;
  }
}

/** Documents that JavaScript cannot carry are evaluated where they are stored. */
export async function applyOutside(
  from: ReadFrom,
  step: PipelineStep,
  documents: readonly StoredDocument[],
): Promise<Decision[]> {
  const carried = documents.filter(isDocumentCarried);
  const decisions = await applyGiven(from, step, carried);
  return inPlace(documents, carried, decisions, (document) => applyStored(from, step, document));
}
