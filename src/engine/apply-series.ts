/** Takes documents through steps that follow each other, each on what the one before has made of them. */
import type { ClientSession } from 'mongodb';
import { isDocumentCarried } from '../domain/carried.js';
import { type Decision, fail } from '../domain/change.js';
import type { DocumentStep } from '../domain/migration.js';
import { decideSeries, type SeriesStep } from '../domain/series-step.js';
import { type StoredDocument, storedDocument } from '../domain/stored-document.js';

/** How one step is evaluated over documents that need not be stored anywhere. */
export interface PartEvaluation {
  /** Which of the documents the step is about. */
  chosen(step: DocumentStep, documents: readonly StoredDocument[]): Promise<readonly StoredDocument[]>;
  /** One decision each, in their order. */
  decided(
    step: DocumentStep,
    documents: readonly StoredDocument[],
    session?: ClientSession,
  ): Promise<readonly Decision[]>;
}

/** Told which documents a step meets, as they are by then. */
export type Met = (step: DocumentStep, documents: readonly StoredDocument[]) => Promise<void>;

/** A document on its way: as the steps so far have made it, and why it goes no further. */
interface Traveller {
  readonly document: StoredDocument;
  now: StoredDocument;
  failed: Decision | null;
}

/** The server is asked about documents as values: of what JavaScript cannot carry it would be told something else. */
const mustBeCarried = ({ kind, filter }: DocumentStep): boolean => kind === 'pipeline' || filter !== undefined;

const NOT_CARRIED =
  'it holds BSON that JavaScript cannot carry exactly, and goes through several steps: the server cannot be asked about it in between';

async function through(
  how: PartEvaluation,
  step: DocumentStep,
  at: number,
  open: readonly Traveller[],
  session?: ClientSession,
) {
  const known = mustBeCarried(step) ? open.filter(({ now }) => isDocumentCarried(now)) : open;
  const carried = new Set(known);
  for (const traveller of open)
    if (!carried.has(traveller)) traveller.failed = fail(traveller.document, 'GODWIT_NOT_CARRIED', NOT_CARRIED);
  const chosen = new Set(
    await how.chosen(
      step,
      known.map(({ now }) => now),
    ),
  );
  const taken = known.filter(({ now }) => chosen.has(now));
  const decisions = await how.decided(
    step,
    taken.map(({ now }) => now),
    session,
  );
  for (const [index, traveller] of taken.entries()) {
    const decision = decisions[index];
    if (decision?.kind === 'changed') traveller.now = storedDocument(decision.change.after);
    if (decision?.kind !== 'failed') continue;
    const { failure } = decision;
    const message = `step ${at + 1} of ${step.collection}: ${failure.message}`;
    traveller.failed = { kind: 'failed', document: traveller.document, failure: { ...failure, message } };
  }
}

/**
 * One decision a document, in their order. A document on which a step fails goes no further, and stays as it is.
 *
 * @param met told at each step
 */
export async function applySeries(
  how: PartEvaluation,
  { steps }: SeriesStep,
  documents: readonly StoredDocument[],
  session?: ClientSession,
  met: Met = async () => undefined,
): Promise<Decision[]> {
  const travellers = documents.map((document): Traveller => ({ document, now: document, failed: null }));
  for (const [at, step] of steps.entries()) {
    const open = travellers.filter(({ failed }) => failed === null);
    await met(
      step,
      open.map(({ now }) => now),
    );
    await through(how, step, at, open, session);
  }
  return travellers.map(({ document, now, failed }) => failed ?? decideSeries(document, now));
}
