/**
 * The dry run: every document read by the keyset path of a run, transformed as in a run, and then only counted. No
 * statement that writes is ever built here: the room of statements that write is not imported.
 */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import type { Db } from 'mongodb';
import type { Change, Decision } from '../domain/change.js';
import { coveringRanges } from '../domain/chunk.js';
import { differencesOf } from '../domain/differences.js';
import type { TransformStep } from '../domain/migration.js';
import { NumberTypes } from '../domain/number-types.js';
import type { DocumentUnit, Unit } from '../domain/series-step.js';
import { isReferences } from '../domain/step-order.js';
import { type StoredDocument, typedId } from '../domain/stored-document.js';
import type { Locate } from '../engine/apply-transform.js';
import { evaluateBack, evaluateTwice } from '../engine/evaluate.js';
import { mergedAsPlanned } from '../engine/legacy.js';
import {
  addReferenceCounts,
  lookAtReferences,
  NO_REFERENCES,
  type ReferenceCounts,
  type ReferenceLook,
} from '../engine/references.js';
import { walk } from '../engine/walk.js';
import type { Events } from '../events.js';
import { bothFilters, type CanonicalsOf, type ReadFrom, readBatch } from '../mongo/read-batch.js';
import { sampleDocumentIds } from '../mongo/sample-ids.js';
import { requireTargetOrNew, type Target } from '../mongo/target.js';
import { refusedByValidator } from '../mongo/validator-probe.js';
import { Collisions } from './collisions.js';
import { Disappearances } from './disappearances.js';
import type { Duplicate } from './duplicates.js';
import { FailureGroups } from './failure-groups.js';
import { FieldHistogram } from './fields.js';
import type { MergeReport } from './merge-report.js';
import { checkPurity, type Evidence } from './purity.js';
import { type Sample, SampleChoice, sampleOf, type Visibility } from './samples.js';
import { ShownId } from './shown-id.js';

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
  readonly signal: AbortSignal;
  /** Documents to look at, chosen at random; all when left out. */
  readonly sample?: number;
  /** What was found is to be compared with a second look. */
  readonly isCompared?: true;
}

/** `_id`s listed for each kind of finding; all are counted. */
const MAX_LISTED = 1_000;

export interface Listed {
  readonly _id: ShownId;
  readonly message: string;
}

export interface ReferencesFound {
  readonly counts: ReferenceCounts;
  /** Documents with values that name none or several. */
  readonly first: readonly ShownId[];
}

/** Everything that a dry run finds in one step. */
export class StepAnalysis {
  scanned = 0;
  wouldChange = 0;
  wouldInsert = 0;
  wouldDelete = 0;
  unchanged = 0;
  skipped = 0;
  bytesDelta = 0;
  auditBytes = 0;
  oplogBytes = 0;
  notIdempotent = 0;
  notDeterministic = 0;
  notInverse = 0;
  readonly purityFields = new Set<string>();
  readonly failures = new FailureGroups();
  readonly fields = new FieldHistogram();
  readonly types = new NumberTypes();
  readonly disappearances: Disappearances;
  readonly samples: Sample[] = [];
  /** The same with values: for a terminal, never for a file. Empty unless values were asked for. */
  readonly clearSamples: Sample[] = [];
  /** Of a merge. */
  merge: MergeReport | undefined;
  /** Groups of a merge that are made of two documents or more. */
  duplicates: readonly Duplicate[] = [];
  /** What a merge would make of documents. */
  canonicals: CanonicalsOf | undefined;
  /** Of the steps that `references()` made. */
  readonly references = new Map<TransformStep, ReferencesFound>();
  readonly validationFailures: Listed[] = [];
  validationCount = 0;
  /** Of a script: documents that an earlier call would have inserted, and that this one cannot see. */
  unseen = 0;
  isValidatorUnknown = false;
  readonly #choice = new SampleChoice();
  readonly #print = createHash('sha256');

  constructor(
    readonly step: Unit,
    readonly target: Target,
    readonly collisions: Collisions,
    private readonly visibility: Visibility,
  ) {
    this.disappearances = new Disappearances(step.drops);
  }

  /** The same for the same decisions. */
  fingerprint(): string {
    return this.#print.copy().digest('hex');
  }

  /** Called where two looks are to be compared. */
  print(decisions: readonly Decision[]): void {
    for (const decision of decisions)
      if (decision.kind === 'changed') this.#print.update(decision.change.before.key).update(decision.change.hash);
      else this.#print.update(`${decision.kind} ${decision.document.key}`);
  }

  take(decisions: readonly Decision[]): void {
    this.scanned += decisions.length;
    for (const decision of decisions) {
      if (decision.kind === 'unchanged') this.unchanged += 1;
      else if (decision.kind === 'skipped') this.skipped += 1;
      else if (decision.kind === 'failed') this.failures.add(decision.failure, new ShownId(typedId(decision.document)));
      else this.#takeChange(decision.change);
    }
  }

  #takeChange(change: Change): void {
    this.bytesDelta += change.after.length - change.before.bytes.length;
    // Which of its values are nowhere else, its merge knows.
    if (change.kind === 'delete') {
      this.wouldDelete += 1;
      return;
    }
    if (change.kind === 'insert') this.wouldInsert += 1;
    else this.wouldChange += 1;
    const differences = differencesOf(change);
    this.fields.add(differences);
    this.disappearances.add(change, differences);
    this.types.add(differences);
    if (!this.#choice.take(differences)) return;
    this.samples.push(sampleOf(this.step.collection, change, differences, { ...this.visibility, showValues: false }));
    if (this.visibility.showValues)
      this.clearSamples.push(sampleOf(this.step.collection, change, differences, this.visibility));
  }

  addReferences(step: TransformStep, { counts, unresolved }: ReferenceLook): void {
    const earlier = this.references.get(step) ?? { counts: NO_REFERENCES, first: [] };
    const more = unresolved.slice(0, MAX_LISTED - earlier.first.length);
    this.references.set(step, {
      counts: addReferenceCounts(earlier.counts, counts),
      first: [...earlier.first, ...more.map(({ document }) => new ShownId(typedId(document)))],
    });
  }

  /** The audit is compressed as a run would, so that the projection is no guess. */
  weigh(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const images = deflateSync(Buffer.concat(changes.map(({ before }) => before.bytes)), { level: 1 }).length;
    const patches = changes.map((change) => change.patch);
    const patch = deflateSync(Buffer.concat(patches), { level: 1 }).length;
    const audit = images + patch + 32 * changes.length + 400;
    this.auditBytes += audit;
    // In the oplog: the audit once more, a diff for each document (its patch and about 90 bytes), the checkpoint.
    this.oplogBytes += audit + patches.reduce((sum, { length }) => sum + length + 90, 0) + 300;
  }

  listInvalid(change: Change): void {
    this.validationCount += 1;
    if (this.validationFailures.length < MAX_LISTED)
      this.validationFailures.push({
        _id: new ShownId(typedId(change.before)),
        message: "the collection's validator would refuse it",
      });
  }
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
  analysis.take(decisions);
  if (facts.isCompared) analysis.print(decisions);
  await judge(facts, analysis, decisions, { again, ...(await evaluateBack(how, changesIn(decisions))) });
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
  const findings = checkPurity(decisions, evidence);
  for (const { kind, fields } of [...findings.values()].flat()) {
    if (kind === 'not-idempotent') analysis.notIdempotent += 1;
    else if (kind === 'not-deterministic') analysis.notDeterministic += 1;
    else analysis.notInverse += 1;
    if (kind !== 'not-inverse') for (const name of fields) analysis.purityFields.add(name);
  }
  const staying = changes.filter(({ kind }) => kind !== 'delete');
  await analysis.collisions.add(staying);
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

/** Of a collection that the migration makes, there are none. */
export const collisionsIn = ({ db }: DryRunFacts, { name, uuid }: Target): Promise<Collisions> =>
  uuid === '' ? Promise.resolve(Collisions.none()) : Collisions.of(db.collection(name));

/** Looks at one step. `done` is how many documents earlier steps have taken, for the progress. */
export async function analyseStep(
  facts: DryRunFacts,
  step: DocumentUnit,
  progress: (scanned: number) => void,
): Promise<StepAnalysis> {
  const target = await requireTargetOrNew(facts.db, step.collection, facts.created);
  const analysis = new StepAnalysis(step, target, await collisionsIn(facts, target), facts.visibility);
  const { db, canonicals } = facts;
  const from: ReadFrom = { db, collection: step.collection, uuid: target.uuid, canonicals };
  // A merge is looked at whole, and so is what it leaves behind.
  const portions =
    facts.sample === undefined || step.kind === 'legacy'
      ? allDocuments(facts, from, step)
      : sampledDocuments(facts, from, step, facts.sample);
  for await (const documents of portions) {
    if (facts.signal.aborted) throw facts.signal.reason;
    await takeBatch(facts, from, { analysis, step }, documents);
    progress(analysis.scanned);
  }
  return analysis;
}
