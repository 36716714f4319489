/** Proves a merge after the fact: every source document has its canonical one, as it is now. Reads only. */
import type { MergeStep } from '../domain/merge-step.js';
import { locateIn } from '../migration/load.js';
import { quarantinedKeys } from '../mongo/failures.js';
import { countSharedKeys } from '../mongo/id-map.js';
import { type Check, equal, MAX_LISTED, type VerifyFacts } from './checks.js';
import { inspectCanonicals, inspectSources, type MergeInspection } from './inspect-merge.js';
import { sourcesOf } from './merge-plan.js';

const listing = (check: Check, listed: readonly unknown[]): Check => ({
  ...check,
  listed: listed.slice(0, MAX_LISTED),
});

async function inspectionOf(
  facts: VerifyFacts,
  index: number,
  step: MergeStep,
  uuid: string,
): Promise<MergeInspection> {
  const { db, state, run, loaded, transformTimeoutMs: timeoutMs } = facts;
  return {
    ...{ step, state, of: { run: run._id, step: index } },
    into: { db, collection: step.collection, uuid },
    sources: await sourcesOf(db, step),
    author: { locate: locateIn(loaded), timeoutMs },
    quarantined: await quarantinedKeys(state, run._id, index),
  };
}

interface Merge {
  readonly step: MergeStep;
  /** Of the canonical collection as it is now. */
  readonly uuid: string;
  /** Documents that were looked at before. */
  readonly before: number;
}

export async function proveMerge(
  facts: VerifyFacts,
  index: number,
  { step, uuid, before }: Merge,
): Promise<{ readonly checks: readonly Check[]; readonly checked: number }> {
  const inspection = await inspectionOf(facts, index, step, uuid);
  const { signal, events, run } = facts;
  let checked = 0;
  const strays: unknown[] = [];
  for await (const found of inspectSources(inspection)) {
    if (signal.aborted) throw signal.reason;
    checked += found.checked;
    strays.push(...found.strays.map(({ id }) => id));
    events.emit('run:verify', { run: run._id, checked: before + checked, total: run.total });
  }
  const [orphans, unnoted]: [unknown[], unknown[]] = [[], []];
  for await (const lacking of inspectCanonicals(inspection)) {
    orphans.push(...lacking.orphans);
    unnoted.push(...lacking.unnoted);
  }
  const { collection, provenance } = step;
  const shared = await countSharedKeys(facts.state, inspection.of);
  return {
    checked,
    checks: [
      equal(`${collection}: the collection that was merged into`, run.steps[index]?.uuid ?? '', uuid),
      listing(equal(`${collection}: source documents that the merge would still change`, 0, strays.length), strays),
      listing(equal(`${collection}: source documents whose document is gone`, 0, orphans.length), orphans),
      ...(provenance === false
        ? []
        : [
            listing(
              equal(`${collection}.${provenance}: source documents that are not named in it`, 0, unnoted.length),
              unnoted,
            ),
          ]),
      {
        name: `${collection}: identity keys that more than one document has`,
        ok: true,
        expected: 'any',
        found: shared,
      },
    ],
  };
}
