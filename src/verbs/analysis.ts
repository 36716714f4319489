/** Looks at documents as a dry run does, all or a sample, and projects from them what a run would take. */
import { isMergeOf } from '../domain/merge-step.js';
import type { Unit } from '../domain/series-step.js';
import { type LoadedMigration, locateIn } from '../migration/load.js';
import { canonicalsIn } from '../mongo/id-map.js';
import type { CanonicalsOf } from '../mongo/read-batch.js';
import { listCurrentRuns } from '../mongo/runs.js';
import { analyseStep, type DryRunFacts, type StepAnalysis } from '../report/dry-run.js';
import { analyseMerge } from '../report/merge.js';
import { analyseScript } from '../report/script.js';
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
    signal: options.signal ?? NEVER,
    ...(options.sample === undefined ? {} : { sample: options.sample }),
  };
  let before = 0;
  for (const step of loaded.units) {
    const told = (scanned: number): void => progress(before + scanned);
    const analyses = await analyseUnit(facts, step, told);
    before += sum(analyses, ({ scanned }) => scanned);
    steps.push(...analyses);
  }
  return steps;
}
