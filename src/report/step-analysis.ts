/** Everything that a dry run finds in one step, gathered batch by batch. */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import type { Change, Decision } from '../domain/change.js';
import { differencesOf } from '../domain/differences.js';
import type { TransformStep } from '../domain/migration.js';
import { NumberTypes } from '../domain/number-types.js';
import type { Unit } from '../domain/series-step.js';
import { typedId } from '../domain/stored-document.js';
import { addReferenceCounts, NO_REFERENCES, type ReferenceCounts, type ReferenceLook } from '../engine/references.js';
import type { CanonicalsOf } from '../mongo/read-batch.js';
import type { Target } from '../mongo/target.js';
import type { Collisions } from './collisions.js';
import { Disappearances } from './disappearances.js';
import type { Duplicate } from './duplicates.js';
import type { Expiring } from './expiring.js';
import { FailureGroups } from './failure-groups.js';
import { FieldHistogram } from './fields.js';
import type { MergeReport } from './merge-report.js';
import { type Sample, SampleChoice, sampleOf, type Visibility } from './samples.js';
import { ShownId } from './shown-id.js';

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
  /** Documents that were looked at twice, and to whose results the step was applied once more. */
  comparedTwice = 0;
  appliedTwice = 0;
  readonly purityFields = new Set<string>();
  readonly failures = new FailureGroups();
  /** … that an earlier step may keep from failing: it writes what was looked up. */
  readonly unsureFailures = new FailureGroups();
  isUnsure = false;
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
    readonly expiring: Expiring,
  ) {
    this.disappearances = new Disappearances(step.drops);
  }

  /** Documents that would be changed, inserted or removed. */
  get written(): number {
    return this.wouldChange + this.wouldInsert + this.wouldDelete;
  }

  /** False where the step is never applied to its own results: a merge knows what it has merged. */
  get appliesAgain(): boolean {
    return this.step.kind !== 'merge' && this.step.kind !== 'given' && this.step.kind !== 'legacy';
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
      else if (decision.kind === 'failed')
        (this.isUnsure ? this.unsureFailures : this.failures).add(
          decision.failure,
          new ShownId(typedId(decision.document)),
        );
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
