/**
 * Proves what can be proved of a run whose migration's file is gone: that documents are as the run left them, and that
 * its audit is whole. What the transform would do now, nobody can ask.
 */
import { listChunks } from '../mongo/chunks.js';
import { countFailures } from '../mongo/failures.js';
import { findTarget } from '../mongo/target.js';
import { type Check, equal, type Verification, type VerifyFacts } from './checks.js';
import { inspectStep } from './inspect.js';
import { proveSchema } from './prove-schema.js';
import { checkAudit } from './verify.js';

const NO_PLACE = (): undefined => undefined;

interface Looked {
  readonly checks: readonly Check[];
  readonly checked: number;
}

/** By hashes: documents that are as the run left them, and all others. */
async function compare(facts: VerifyFacts, index: number): Promise<Looked> {
  const { db, state, run, loaded, transformTimeoutMs, signal } = facts;
  const [step, planned] = [loaded.units[index], run.steps[index]];
  if (step?.kind !== 'transform' || !planned) return { checks: [], checked: 0 };
  const chunks = (await listChunks(state, run._id)).filter((chunk) => chunk.step === index);
  const from = { db, collection: step.collection, uuid: planned.uuid };
  const how = { db, state, run: run._id, step, from, chunks, locate: NO_PLACE, transformTimeoutMs, isFull: false };
  let [checked, identical] = [0, 0];
  for await (const found of inspectStep(how, index)) {
    if (signal.aborted) throw signal.reason;
    checked += found.checked;
    identical += found.identical;
  }
  const name = `${step.collection}: documents as the run left them, by their hashes`;
  return { checks: [{ name, ok: true, expected: 'any', found: identical }], checked };
}

export async function verifyFromState(facts: VerifyFacts): Promise<Verification> {
  const { db, state, run } = facts;
  const checks: Check[] = [equal('state of the run', 'completed', run.state)];
  let checked = 0;
  for (const [index, { collection, uuid }] of run.steps.entries()) {
    const found = (await findTarget(db, collection))?.uuid ?? 'gone';
    checks.push(equal(`${collection}: the collection that was migrated`, uuid, found));
    if (found !== uuid) continue;
    const looked = await compare(facts, index);
    checks.push(...looked.checks);
    checked += looked.checked;
  }
  checks.push(...(await proveSchema(facts)));
  checks.push(equal('documents in quarantine', 0, await countFailures(state, run._id)));
  checks.push(...(await checkAudit(facts)));
  checks.push(equal('transform', 'run again', 'not run again: file missing'));
  return { ok: checks.every(({ ok }) => ok), checks, checked };
}
