/**
 * The dry run checks on every document that `up` has nothing left to do on its own result. A run that was started
 * without one checks the first documents of each chunk: what is not idempotent would be applied twice to documents
 * that the application touches.
 */

import type { ClientSession } from 'mongodb';
import type { Decision } from '../domain/change.js';
import { type Evaluation, evaluateResults } from './evaluate.js';

/** Changed documents that are checked in a chunk. */
const CHECKED = 20;

/** The decisions, with documents whose result would change again as failures. */
export async function checkFirst(
  how: Evaluation,
  decisions: readonly Decision[],
  session: ClientSession,
): Promise<readonly Decision[]> {
  if (how.step.kind === 'legacy') return decisions;
  const checked = decisions
    .flatMap((decision, at) => (decision.kind === 'changed' ? [{ at, change: decision.change }] : []))
    .slice(0, CHECKED);
  const results = await evaluateResults(
    how,
    checked.map(({ change }) => change),
    session,
  );
  const name = { transform: 'up()', pipeline: 'the pipeline', series: 'the steps' }[how.step.kind];
  const judged = [...decisions];
  for (const [index, second] of results.entries()) {
    const first = checked[index];
    if (!first || (second.kind !== 'changed' && second.kind !== 'failed')) continue;
    const found =
      second.kind === 'failed'
        ? `fails on it: ${second.failure.message}`
        : `changes it again: ${[...second.change.set.keys(), ...second.change.unset].join(', ')}`;
    const message = `wanted ${name} to leave its own result as it is, found that it ${found}`;
    judged[first.at] = {
      kind: 'failed',
      document: first.change.before,
      failure: { code: 'GODWIT_NOT_IDEMPOTENT', message },
    };
  }
  return judged;
}
