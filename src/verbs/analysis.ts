/** Looks at documents as a dry run does, all or a sample, and projects from them what a run would take. */
import { isMergeOf } from '../domain/merge-step.js';
import type { Unit } from '../domain/series-step.js';
import { type LoadedMigration, locateIn } from '../migration/load.js';
import { canonicalsIn } from '../mongo/id-map.js';
import type { CanonicalsOf } from '../mongo/read-batch.js';
import { listCurrentRuns } from '../mongo/runs.js';
import { analyseStep, type DryRunFacts, type Earlier } from '../report/dry-run.js';
import { analyseMerge } from '../report/merge.js';
import { analyseScript } from '../report/script.js';
import type { StepAnalysis } from '../report/step-analysis.js';
import { createdBy } from './schema.js';
import { runSettings, type Session } from './session.js';

/** What a forward run would take. Seconds are a range; `basis` says what it rests on. */
export interface Estimate {
  readonly seconds: number | null;
  readonly secondsLow: number | null;
  readonly secondsHigh: number | null;
  readonly basis: string;
  /** Bytes that the audit takes on disk before the server's own compression. */
  readonly auditBytes: number;
  readonly oplogBytes: number;
}

const NEVER = new AbortController().signal;

export interface AnalysisOptions {
  /** Documents to look at, chosen at random; all when left out. */
  readonly sample?: number | undefined;
  /** `_id`s of the only documents to look at. */
  readonly ids?: readonly unknown[] | undefined;
  /** Changes after which the look ends, as a run with this limit would. */
  readonly limit?: number | undefined;
  readonly showValues?: boolean | undefined;
  readonly batchSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const sum = (steps: readonly StepAnalysis[], of: (step: StepAnalysis) => number): number =>
  steps.reduce((total, step) => total + of(step), 0);

/** Documents per second of a run when nothing is known of this server (measured on 2 cores). */
const RATE_UNKNOWN = { low: 3_000, high: 12_000 };

export async function estimateOf(session: Session, steps: readonly StepAnalysis[], scale: number): Promise<Estimate> {
  const documents = sum(steps, ({ scanned }) => scanned) * scale;
  const earlier = (await listCurrentRuns(session.state)).filter(
    ({ counters, workedMs }) => counters.scanned >= 1_000 && workedMs > 0,
  );
  const rates = earlier.map(({ counters, workedMs }) => counters.scanned / (workedMs / 1_000));
  const [low, high] =
    rates.length > 0 ? [Math.min(...rates) * 0.7, Math.max(...rates) * 1.3] : [RATE_UNKNOWN.low, RATE_UNKNOWN.high];
  const [secondsLow, secondsHigh] = [documents / high, documents / low];
  return {
    seconds: Math.round((secondsLow + secondsHigh) * 5) / 10,
    secondsLow: Math.round(secondsLow * 10) / 10,
    secondsHigh: Math.round(secondsHigh * 10) / 10,
    basis:
      rates.length > 0
        ? `${rates.length} earlier run(s) on this database`
        : 'no run on this database yet: a 2-core machine does 3,000 to 12,000 a second',
    auditBytes: Math.round(sum(steps, ({ auditBytes }) => auditBytes) * scale),
    oplogBytes: Math.round(sum(steps, ({ oplogBytes }) => oplogBytes) * scale),
  };
}

/** How long an exact count may take before an estimate has to do, in ms. */
const COUNT_MS = 5_000;

/** By how much a sample of so many documents is to be multiplied: a filter's choice is counted, where that is quick. */
export async function scaleOf({ db }: Session, { units }: LoadedMigration, scanned: number): Promise<number> {
  let population = 0;
  // A merge is looked at whole, and a script.
  for (const { collection: name, filter, kind } of units) {
    if (kind === 'merge' || kind === 'script') return 1;
    const collection = db.collection(name);
    const all = await collection.estimatedDocumentCount();
    population += filter ? await collection.countDocuments(filter, { maxTimeMS: COUNT_MS }).catch(() => all) : all;
  }
  return scanned > 0 ? Math.max(1, population / scanned) : 1;
}

/** One, or of a script as many as it calls helpers. */
async function analyseUnit(
  facts: DryRunFacts,
  step: Unit,
  told: (scanned: number) => void,
): Promise<readonly StepAnalysis[]> {
  if (step.kind === 'merge') return [await analyseMerge(facts, step, told)];
  if (step.kind === 'script') return step.leads ? analyseScript(facts, step, told) : [];
  return step.kind === 'given' ? [] : [await analyseStep(facts, step, told)];
}

/** What of the database will be otherwise by the time of a unit. */
const earlierThan = ({ units, schema }: LoadedMigration, index: number): Earlier => ({
  schema: schema.filter(({ at }) => at <= index).map(({ step }) => step.operation),
  written: new Set(units.slice(0, index).map(({ collection }) => collection)),
});

/** @param progress told how many documents were looked at so far */
export async function analyse(
  session: Session,
  loaded: LoadedMigration,
  options: AnalysisOptions,
  progress: (scanned: number) => void = () => undefined,
): Promise<StepAnalysis[]> {
  const settings = runSettings(session.config, { batchSize: options.batchSize });
  const steps: StepAnalysis[] = [];
  const stored = canonicalsIn(session.state);
  const canonicals: CanonicalsOf = async (collections, ids) => {
    const planned = steps.find(({ step }) => isMergeOf(step, collections));
    return (planned?.canonicals ?? stored)(collections, ids);
  };
  const facts: DryRunFacts = {
    db: session.db,
    canonicals,
    migration: loaded.id,
    created: createdBy(loaded),
    locate: locateIn(loaded),
    events: session.events,
    batchSize: settings.batchSize,
    maxBatchBytes: settings.maxBatchBytes,
    transformTimeoutMs: settings.transformTimeoutMs,
    visibility: { showValues: options.showValues ?? false, redact: session.config.settings.redact },
    nowMs: Date.now() - session.server.clockOffsetMs,
    signal: options.signal ?? NEVER,
    earlier: earlierThan(loaded, 0),
    ...(options.sample === undefined ? {} : { sample: options.sample }),
    ...(options.ids === undefined ? {} : { only: options.ids }),
  };
  let before = 0;
  let left = options.limit;
  for (const [index, step] of loaded.units.entries()) {
    if (left !== undefined && left <= 0) break;
    const told = (scanned: number): void => progress(before + scanned);
    const own = { ...facts, earlier: earlierThan(loaded, index), ...(left === undefined ? {} : { limit: left }) };
    const analyses = await analyseUnit(own, step, told);
    before += sum(analyses, ({ scanned }) => scanned);
    if (left !== undefined) left -= sum(analyses, ({ written }) => written);
    steps.push(...analyses);
  }
  return steps;
}
