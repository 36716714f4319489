/**
 * The dry run: every document read by the keyset path of a run, transformed as in a run, and then only counted. No
 * statement that writes is ever built here: the room of statements that write is not imported.
 */
import type { Db } from 'mongodb';
import type { Change, Decision } from '../domain/change.js';
import { coveringRanges } from '../domain/chunk.js';
import type { StepLookup } from '../domain/migration.js';
import type { SchemaOperation } from '../domain/schema-operation.js';
import type { DocumentUnit, Unit } from '../domain/series-step.js';
import { isReferences } from '../domain/step-order.js';
import type { StoredDocument } from '../domain/stored-document.js';
import type { Locate } from '../engine/apply-transform.js';
import { evaluateBack, evaluateTwice } from '../engine/evaluate.js';
import { mergedAsPlanned } from '../engine/legacy.js';
import { lookAtReferences } from '../engine/references.js';
import { walk } from '../engine/walk.js';
import type { Events } from '../events.js';
import { bothFilters, type CanonicalsOf, type ReadFrom, readBatch, readByIds } from '../mongo/read-batch.js';
import { sampleDocumentIds } from '../mongo/sample-ids.js';
import { requireTargetOrNew, type Target } from '../mongo/target.js';
import { refusedByValidator } from '../mongo/validator-probe.js';
import { Collisions } from './collisions.js';
import { Expiring } from './expiring.js';
import { checkPurity, type Evidence } from './purity.js';
import type { Visibility } from './samples.js';
import { StepAnalysis } from './step-analysis.js';

export interface DryRunFacts {
  readonly db: Db;
  /** Which document was merged into which, by runs that stand and by the steps before. */
  readonly canonicals: CanonicalsOf;
  readonly migration: string;
  /** Collections that its schema steps make. */
  readonly created: ReadonlySet<string>;
  readonly locate: Locate;
  readonly events: Events;
  readonly batchSize: number;
  readonly maxBatchBytes: number;
  readonly transformTimeoutMs: number;
  readonly visibility: Visibility;
  /** The server's time, in ms. */
  readonly nowMs: number;
  readonly signal: AbortSignal;
  /** Documents to look at, chosen at random; all when left out. */
  readonly sample?: number;
  /** These documents only. */
  readonly only?: readonly unknown[];
  /** Changes after which the look ends, as a run would. */
  readonly limit?: number;
  /** What was found is to be compared with a second look. */
  readonly isCompared?: true;
  /** What comes before the step, and is not there yet. */
  readonly earlier: Earlier;
}

/** What a step will find otherwise than it is now. */
export interface Earlier {
  readonly schema: readonly SchemaOperation[];
  /** Collections whose documents earlier steps write. */
  readonly written: ReadonlySet<string>;
}

/** The collection as it will be: its validator is the last one that an earlier step sets. */
export function asItWillBe(target: Target, { schema }: Earlier): Target {
  let found = target;
  for (const operation of schema) {
    if (operation.collection !== target.name) continue;
    if (operation.kind === 'setValidator') {
      const { validator, level, action } = operation;
      found = { ...found, validator, validationLevel: level, validationAction: action };
    } else if (operation.kind === 'createCollection' && target.uuid === '') {
      const { validator = null, validationLevel, validationAction } = operation.options;
      found = {
        ...found,
        ...{ validator, validationLevel: validationLevel ?? 'strict', validationAction: validationAction ?? 'error' },
      };
    }
  }
  return found;
}

/** Looked up in a collection that an earlier step writes: what it would find, nobody can tell yet. */
const isUnsure = ({ earlier }: DryRunFacts, step: DocumentUnit): boolean =>
  Object.values<StepLookup>(step.lookup).some(({ from }) => earlier.written.has(from));

/** As many decisions as a run would take that may make so many changes. */
function within(decisions: readonly Decision[], left: number): readonly Decision[] {
  const changed = decisions.flatMap(({ kind }, at) => (kind === 'changed' ? at : []));
  return decisions.slice(0, changed[left] ?? decisions.length);
}

async function takeBatch(
  facts: DryRunFacts,
  from: ReadFrom,
  { analysis, step }: { readonly analysis: StepAnalysis; readonly step: DocumentUnit },
  documents: readonly StoredDocument[],
): Promise<void> {
  const how = {
    ...{ step, from, locate: facts.locate, timeoutMs: facts.transformTimeoutMs },
    ...(step.kind === 'legacy' ? { merged: mergedAsPlanned(facts.canonicals, step) } : {}),
  };
  const { decisions, again } = await evaluateTwice(how, documents, async (part, met) => {
    if (isReferences(part)) analysis.addReferences(part, await lookAtReferences(from, part, met));
  });
  const taken = within(decisions, (facts.limit ?? Number.POSITIVE_INFINITY) - analysis.written);
  analysis.take(taken);
  if (facts.isCompared) analysis.print(taken);
  await judge(facts, analysis, taken, { again, ...(await evaluateBack(how, changesIn(taken))) });
}

const changesIn = (decisions: readonly Decision[]): Change[] =>
  decisions.flatMap((decision) => (decision.kind === 'changed' ? [decision.change] : []));

/** What a batch of a run would meet: its size, its promises, unique indexes, and the validator. */
export async function judge(
  facts: DryRunFacts,
  analysis: StepAnalysis,
  decisions: readonly Decision[],
  evidence: Evidence,
): Promise<void> {
  const changes = changesIn(decisions);
  analysis.weigh(changes);
  const done = decisions.filter(({ kind }) => kind !== 'failed').length;
  // A pipeline that gives something else each time is refused when its file is loaded.
  if (evidence.again || analysis.step.kind === 'pipeline') analysis.comparedTwice += done;
  // What the step leaves alone, it leaves alone once more.
  if (analysis.appliesAgain) analysis.appliedTwice += done - changes.length + evidence.results.length;
  const findings = checkPurity(decisions, evidence);
  for (const { kind, fields } of [...findings.values()].flat()) {
    if (kind === 'not-idempotent') analysis.notIdempotent += 1;
    else if (kind === 'not-deterministic') analysis.notDeterministic += 1;
    else analysis.notInverse += 1;
    if (kind !== 'not-inverse') for (const name of fields) analysis.purityFields.add(name);
  }
  const staying = changes.filter(({ kind }) => kind !== 'delete');
  await analysis.collisions.add(staying);
  analysis.expiring.add(staying);
  await probeValidator(facts, analysis, staying);
}

/** Documents that become invalid; under `moderate` those that are invalid already pass. */
async function probeValidator(facts: DryRunFacts, analysis: StepAnalysis, changes: readonly Change[]): Promise<void> {
  const { target } = analysis;
  if (!target.validator || target.validationLevel === 'off' || target.validationAction === 'warn') return;
  const refused = await refusedByValidator(
    facts.db,
    target,
    changes.map(({ after }) => after),
  );
  if (refused === null) {
    analysis.isValidatorUnknown = true;
    return;
  }
  const suspects = changes.filter(({ before }) => refused.has(before.key));
  const already =
    target.validationLevel === 'moderate'
      ? await refusedByValidator(
          facts.db,
          target,
          suspects.map(({ before }) => before.bytes),
        )
      : new Set<string>();
  for (const change of suspects) if (!already?.has(change.before.key)) analysis.listInvalid(change);
}

async function* onlyDocuments(
  facts: DryRunFacts,
  from: ReadFrom,
  step: Unit,
  ids: readonly unknown[],
): AsyncGenerator<readonly StoredDocument[]> {
  const documents = await readByIds(from, ids, step.filter ? { filter: step.filter } : {});
  for (let at = 0; at < documents.length; at += facts.batchSize) yield documents.slice(at, at + facts.batchSize);
}

async function* allDocuments(
  facts: DryRunFacts,
  from: ReadFrom,
  step: Unit,
): AsyncGenerator<readonly StoredDocument[]> {
  const portion = { limit: facts.batchSize, maxBytes: facts.maxBatchBytes };
  for (const range of coveringRanges([])) yield* walk(from, range, portion, step.filter);
}

async function* sampledDocuments(
  facts: DryRunFacts,
  from: ReadFrom,
  step: Unit,
  size: number,
): AsyncGenerator<readonly StoredDocument[]> {
  const ids = await sampleDocumentIds(facts.db.collection(step.collection), step.filter, size);
  for (let at = 0; at < ids.length; at += facts.batchSize) {
    const filter = { _id: { $in: ids.slice(at, at + facts.batchSize) } };
    const read = await readBatch(from, bothFilters(filter, step.filter), {
      limit: facts.batchSize,
      maxBytes: Number.POSITIVE_INFINITY,
    });
    if (read.documents.length > 0) yield read.documents;
  }
}

/** An empty one for a step. */
export async function analysisOf(facts: DryRunFacts, step: Unit, target: Target): Promise<StepAnalysis> {
  const { db, earlier, visibility, nowMs } = facts;
  const toBe = {
    isThere: target.uuid !== '',
    schema: earlier.schema.filter(({ collection }) => collection === target.name),
  };
  const collection = db.collection(target.name);
  const collisions = await Collisions.of(collection, { ...toBe, isUnsure: earlier.written.has(target.name) });
  return new StepAnalysis(step, target, collisions, visibility, await Expiring.of(collection, { ...toBe, nowMs }));
}

function portionsOf(facts: DryRunFacts, from: ReadFrom, step: DocumentUnit): AsyncGenerator<readonly StoredDocument[]> {
  if (facts.only) return onlyDocuments(facts, from, step, facts.only);
  // A merge is looked at whole, and so is what it leaves behind.
  if (facts.sample === undefined || step.kind === 'legacy') return allDocuments(facts, from, step);
  return sampledDocuments(facts, from, step, facts.sample);
}

/** Looks at one step. `done` is how many documents earlier steps have taken, for the progress. */
export async function analyseStep(
  facts: DryRunFacts,
  step: DocumentUnit,
  progress: (scanned: number) => void,
): Promise<StepAnalysis> {
  const target = asItWillBe(await requireTargetOrNew(facts.db, step.collection, facts.created), facts.earlier);
  const analysis = await analysisOf(facts, step, target);
  analysis.isUnsure = isUnsure(facts, step);
  const { db, canonicals } = facts;
  const from: ReadFrom = { db, collection: step.collection, uuid: target.uuid, canonicals };
  const portions = portionsOf(facts, from, step);
  for await (const documents of portions) {
    if (facts.signal.aborted) throw facts.signal.reason;
    await takeBatch(facts, from, { analysis, step }, documents);
    progress(analysis.scanned);
    if (analysis.written >= (facts.limit ?? Number.POSITIVE_INFINITY)) break;
  }
  return analysis;
}
