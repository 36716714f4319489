/** The dry run of a script: it is run for real, with helpers that only look. */

import { coveringRanges } from '../domain/chunk.js';
import type { GivenStep, HelperStep, ScriptPart, ScriptResult } from '../domain/script-step.js';
import { type StoredDocument, storedDocument, typedId } from '../domain/stored-document.js';
import { decideGiven, readPlaces } from '../engine/given.js';
import { callScript, scriptError } from '../engine/script-context.js';
import { walk } from '../engine/walk.js';
import { elementsOf } from '../kernel/raw-bson.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import { readOnlyDb } from '../mongo/read-only-db.js';
import { requireTargetOrNew } from '../mongo/target.js';
import { analyseStep, analysisOf, asItWillBe, type DryRunFacts, judge } from './dry-run.js';
import type { StepAnalysis } from './step-analysis.js';

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

/** Documents that earlier calls of the script would have inserted, by their collections. */
type Made = Map<string, Map<string, StoredDocument>>;

const madeIn = (made: Made, collection: string): Map<string, StoredDocument> => {
  const own = made.get(collection) ?? new Map<string, StoredDocument>();
  made.set(collection, own);
  return own;
};

async function analyseGiven(
  facts: DryRunFacts,
  step: GivenStep,
  made: Made,
  progress: (scanned: number) => void,
): Promise<StepAnalysis> {
  const { db, signal } = facts;
  const target = asItWillBe(await requireTargetOrNew(db, step.collection, facts.created), facts.earlier);
  const analysis = await analysisOf(facts, step, target);
  const from: ReadFrom = { db, collection: step.collection, uuid: target.uuid };
  const own = madeIn(made, step.collection);
  if (!step.insert) analysis.unseen = own.size;
  for await (const found of documentsFor(facts, from, step)) {
    if (signal.aborted) throw signal.reason;
    const documents = step.insert ? found.map((document) => own.get(document.key) ?? document) : found;
    const decisions = decideGiven(step, documents);
    for (const decision of decisions)
      if (decision.kind === 'changed' && decision.change.kind === 'insert')
        own.set(decision.change.before.key, storedDocument(decision.change.after));
    analysis.take(decisions);
    analysis.print(decisions);
    await judge(facts, analysis, decisions, { again: null, results: [], back: null });
    progress(analysis.scanned);
  }
  return analysis;
}

/** One call of a helper. */
interface HelperCall {
  readonly step: HelperStep;
  readonly analysis: StepAnalysis;
}

async function lookOnce(
  facts: DryRunFacts,
  { script }: ScriptPart,
  progress: (scanned: number) => void,
): Promise<HelperCall[]> {
  // A part of the documents would let it come to other conclusions.
  const { sample: _sample, limit: _limit, only: _only, ...all } = facts;
  const whole: DryRunFacts = { ...all, isCompared: true };
  const calls: HelperCall[] = [];
  const made: Made = new Map();
  const written = new Set(facts.earlier.written);
  let before = 0;
  const helper = async (step: HelperStep): Promise<ScriptResult> => {
    const told = (scanned: number): void => progress(before + scanned);
    const own: DryRunFacts = { ...whole, earlier: { ...whole.earlier, written: new Set(written) } };
    written.add(step.collection);
    const analysis =
      step.kind === 'given' ? await analyseGiven(own, step, made, told) : await analyseStep(own, step, told);
    if (step.kind !== 'given') analysis.unseen = madeIn(made, step.collection).size;
    calls.push({ step, analysis });
    before += analysis.scanned;
    const { scanned, wouldChange, wouldInsert, wouldDelete } = analysis;
    return { scanned, written: wouldChange + wouldInsert + wouldDelete };
  };
  try {
    await callScript(script, { db: readOnlyDb(facts.db, 'typed'), scope: facts.migration }, helper);
  } catch (error) {
    if (facts.signal.aborted) throw facts.signal.reason;
    throw scriptError(error, facts.locate);
  }
  return calls;
}

const givenTo = ({ step }: HelperCall): StoredDocument[] =>
  step.kind === 'given' && step.insert ? [...step.insert.values()] : [];

/** Names of fields in which the documents differ that two looks would insert, in their order. */
function differingFields(a: HelperCall, b: HelperCall): string[] {
  const others = givenTo(b);
  const names = givenTo(a).flatMap(({ bytes }, at) => {
    const [own, other] = [elementsOf(bytes), elementsOf(others[at]?.bytes ?? NO_DOCUMENT)];
    return [...new Set([...own.keys(), ...other.keys()])].filter(
      (name) => !own.get(name)?.equals(other.get(name) ?? NO_DOCUMENT),
    );
  });
  return [...new Set(names)];
}

const NO_DOCUMENT = Buffer.from([5, 0, 0, 0, 0]);

const isSameCall = (a: HelperCall, b: HelperCall | undefined): boolean =>
  b !== undefined &&
  a.step.kind === b.step.kind &&
  a.step.collection === b.step.collection &&
  a.analysis.fingerprint() === b.analysis.fingerprint();

/**
 * Looks at a script, twice, since it begins anew after a stop: one analysis for each call of a helper, with what the
 * second look found otherwise.
 *
 * @throws GodwitError GODWIT_SCRIPT, and what a helper finds wrong
 */
export async function analyseScript(
  facts: DryRunFacts,
  part: ScriptPart,
  progress: (scanned: number) => void,
): Promise<StepAnalysis[]> {
  const calls = await lookOnce(facts, part, progress);
  const again = await lookOnce(facts, part, () => undefined);
  for (const [at, call] of calls.entries()) {
    const other = again[at];
    call.analysis.comparedTwice += call.analysis.scanned;
    if (isSameCall(call, other)) continue;
    call.analysis.notDeterministic += 1;
    for (const name of other ? differingFields(call, other) : []) call.analysis.purityFields.add(name);
  }
  const last = calls.at(-1);
  if (last && again.length > calls.length) last.analysis.notDeterministic += 1;
  return calls.map(({ analysis }) => analysis);
}
