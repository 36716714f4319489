/** The dry run of a merge: who would become whom, planned in memory, and what would become of their fields. Reads only. */
import type { Decision } from '../domain/change.js';
import { decideGroup, type Member, type MergeConflict } from '../domain/merge-group.js';
import type { MergeStep } from '../domain/merge-step.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { mapAgain } from '../engine/map-sources.js';
import { type MemberRow, readGroups } from '../engine/merge-members.js';
import { type MergePlan, planMerge } from '../engine/merge-plan.js';
import { grouped } from '../kernel/grouped.js';
import { keyOf } from '../mongo/lookups.js';
import type { CanonicalsOf } from '../mongo/read-batch.js';
import { requireTargetOrNew } from '../mongo/target.js';
import { analysisOf, asItWillBe, type DryRunFacts, judge } from './dry-run.js';
import { type Duplicate, duplicateOf } from './duplicates.js';
import type { Double } from './merge-report.js';
import type { StepAnalysis } from './step-analysis.js';

/** Groups that the report lists. */
const MAX_LISTED = 1_000;

/** What is gathered of the groups. */
class Gathered {
  readonly sources: Record<string, number>;
  readonly conflicts: Record<string, Record<MergeConflict['kept'], number>> = {};
  /** Groups of two documents or more. */
  readonly duplicates: Duplicate[] = [];
  largest = 0;

  constructor({ sources }: MergeStep) {
    this.sources = Object.fromEntries(sources.map(({ collection }) => [collection, 0]));
  }

  add(document: StoredDocument, members: readonly Member[], conflicts: readonly MergeConflict[]): void {
    for (const { collection } of members) this.sources[collection] = (this.sources[collection] ?? 0) + 1;
    for (const { field, kept } of conflicts) {
      this.conflicts[field] ??= { target: 0, source: 0, other: 0 };
      this.conflicts[field][kept] += 1;
    }
    const size = members.length + (document.isAbsent ? 0 : 1);
    this.largest = Math.max(this.largest, size);
    if (size >= 2) this.duplicates.push(duplicateOf(document, members, conflicts));
  }
}

/** As the report lists it. */
const doubleOf = ({ _id, members, conflicts }: Duplicate): Double => ({
  _id,
  members: members.map((member) => ({ collection: member.collection, _id: member._id })),
  fields: [...new Set(conflicts.map(({ field }) => field))],
});

/** The plan's members by their canonical document, in its order. */
function groupsOf(plan: MergePlan, { collection }: MergeStep): Map<string, MemberRow[]> {
  const rows = [...plan.members()].filter(({ from }) => from !== collection);
  return grouped(
    rows.map(({ from, id, canonical }): MemberRow => ({ from, id, canonical, merged: null })),
    ({ canonical }) => keyOf(canonical),
  );
}

/** Looks at a merge. A sample is all of it: who is the same as whom cannot be told from a part. */
export async function analyseMerge(
  facts: DryRunFacts,
  step: MergeStep,
  progress: (scanned: number) => void,
): Promise<StepAnalysis> {
  const { db, signal, locate, transformTimeoutMs: timeoutMs } = facts;
  const author = { locate, timeoutMs };
  const { created } = facts;
  const target = asItWillBe(await requireTargetOrNew(db, step.collection, created), facts.earlier);
  const plan = await planMerge(step, { db, signal, created, ...author });
  const groups = groupsOf(plan, step);
  const analysis = await analysisOf(facts, step, target);
  const gathered = new Gathered(step);
  const rowsOf = async (ids: readonly unknown[]): Promise<MemberRow[]> =>
    ids.flatMap((id) => groups.get(keyOf(id)) ?? []);
  const how = { step, into: plan.into, sources: plan.sources, author, rowsOf };
  const canonicals = [...groups.values()].map(([first]) => first?.canonical);
  for (let done = 0; done < canonicals.length; ) {
    if (signal.aborted) throw signal.reason;
    const read = await readGroups(how, canonicals.slice(done, done + facts.batchSize), {
      maxBytes: facts.maxBatchBytes,
    });
    done += read.documents.length;
    const met = read.documents.map((document) => ({ document, members: read.members?.get(document.key) ?? [] }));
    const decided = met.map(({ document, members }) => decideGroup(document, members, step));
    const mapped = mapAgain(
      step,
      met.flatMap(({ members }) => members),
      author,
    );
    const again = met.map(({ document, members }) => decideGroup(document, mapped.splice(0, members.length), step));
    for (const [at, { document, members }] of met.entries())
      gathered.add(document, members, decided[at]?.conflicts ?? []);
    const decisions = decided.map(({ decision }) => decision);
    analysis.take(decisions);
    if (step.legacy === 'remove')
      for (const [at, { document, members }] of met.entries()) lost(analysis, decisions[at], document, members);
    await judge(facts, analysis, decisions, { again: again.map(({ decision }) => decision), results: [], back: null });
    progress(analysis.scanned);
    if (analysis.written >= (facts.limit ?? Number.POSITIVE_INFINITY)) break;
  }
  const { sources, conflicts, largest, duplicates } = gathered;
  analysis.duplicates = duplicates;
  const { groups: count, targetDoubles } = plan;
  analysis.merge = {
    into: step.collection,
    groups: count,
    ...{ source: step.legacy, sources, doubles: duplicates.length, largest, targetDoubles, conflicts },
    first: duplicates.slice(0, MAX_LISTED).map(doubleOf),
  };
  analysis.canonicals = canonicalsOf(plan, step);
  return analysis;
}

/** Values of source documents that go, and are not in the document that they become part of. */
function lost(
  { disappearances }: StepAnalysis,
  decision: Decision | undefined,
  document: StoredDocument,
  members: readonly Member[],
): void {
  if (decision?.kind === 'failed') return;
  const kept = decision?.kind === 'changed' ? decision.change.after : document.bytes;
  for (const { collection, document: source, mapped } of members)
    if (source && mapped?.kind === 'mapped') disappearances.addRemoved(source, collection, kept);
}

/** What the plan makes of documents, for the steps that come after. */
function canonicalsOf(plan: MergePlan, { collection }: MergeStep): CanonicalsOf {
  const textOf = (from: string, id: unknown): string => `${from}\0${keyOf(id)}`;
  const known = new Map([...plan.members()].map((member) => [textOf(member.from, member.id), member]));
  return async ({ from }, ids) => (from === collection ? [] : ids.flatMap((id) => known.get(textOf(from, id)) ?? []));
}
