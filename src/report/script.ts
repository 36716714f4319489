/** The dry run of a script: it is run for real, with helpers that only look. */

import { coveringRanges } from '../domain/chunk.js';
import type { DocumentStep } from '../domain/migration.js';
import type { GivenStep, HelperStep, ScriptPart, ScriptResult } from '../domain/script-step.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import { decideGiven, readPlaces } from '../engine/given.js';
import { callScript, scriptError } from '../engine/script-context.js';
import { walk } from '../engine/walk.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import { readOnlyDb } from '../mongo/read-only-db.js';
import { requireTarget } from '../mongo/target.js';
import { Collisions } from './collisions.js';
import { analyseStep, type DryRunFacts, judge, StepAnalysis } from './dry-run.js';

async function* documentsFor(
  facts: DryRunFacts,
  from: ReadFrom,
  { insert, filter }: GivenStep,
): AsyncGenerator<readonly StoredDocument[]> {
  const portion = { limit: facts.batchSize, maxBytes: facts.maxBatchBytes };
  if (!insert) {
    for (const range of coveringRanges([])) yield* walk(from, range, portion, filter);
    return;
  }
  const ids = [...insert.values()].map(typedId);
  for (let at = 0; at < ids.length; at += facts.batchSize)
    yield await readPlaces(from, ids.slice(at, at + facts.batchSize));
}

async function analyseGiven(
  facts: DryRunFacts,
  step: GivenStep,
  progress: (scanned: number) => void,
): Promise<StepAnalysis> {
  const { db, visibility, signal } = facts;
  const target = await requireTarget(db, step.collection, 'read');
  const collisions = await Collisions.of(db.collection(step.collection));
  const analysis = new StepAnalysis(step, target, collisions, visibility);
  const from: ReadFrom = { db, collection: step.collection, uuid: target.uuid };
  for await (const documents of documentsFor(facts, from, step)) {
    if (signal.aborted) throw signal.reason;
    const decisions = decideGiven(step, documents);
    analysis.take(decisions);
    await judge(facts, analysis, decisions, { again: null, results: [], back: null });
    progress(analysis.scanned);
  }
  return analysis;
}

const analyseOne = (
  facts: DryRunFacts,
  step: DocumentStep | GivenStep,
  progress: (scanned: number) => void,
): Promise<StepAnalysis> =>
  step.kind === 'given' ? analyseGiven(facts, step, progress) : analyseStep(facts, step, progress);

/**
 * Looks at a script: one analysis for each call of a helper.
 *
 * @throws GodwitError GODWIT_SCRIPT, and what a helper finds wrong
 */
export async function analyseScript(
  facts: DryRunFacts,
  { script }: ScriptPart,
  progress: (scanned: number) => void,
): Promise<StepAnalysis[]> {
  // A part of the documents would let it come to other conclusions.
  const { sample: _, ...whole } = facts;
  const analyses: StepAnalysis[] = [];
  let before = 0;
  const helper = async (step: HelperStep): Promise<ScriptResult> => {
    const analysis = await analyseOne(whole, step, (scanned) => progress(before + scanned));
    analyses.push(analysis);
    before += analysis.scanned;
    const { scanned, wouldChange, wouldInsert, wouldDelete } = analysis;
    return { scanned, written: wouldChange + wouldInsert + wouldDelete };
  };
  try {
    await callScript(script, readOnlyDb(facts.db, 'typed'), helper);
  } catch (error) {
    if (facts.signal.aborted) throw facts.signal.reason;
    throw scriptError(error, facts.locate);
  }
  return analyses;
}
