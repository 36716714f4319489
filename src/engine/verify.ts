/** Proves a run: nothing left to change, the audit whole, validators kept, the author's own invariants. Reads only. */
import type { Db, Document, Filter } from 'mongodb';
import { chainAfter } from '../domain/audit-entry.js';
import { type Chunk, sumOfCounters, writtenOf } from '../domain/chunk.js';
import type { VerifyContext } from '../domain/migration.js';
import type { DocumentUnit, Unit } from '../domain/series-step.js';
import type { StoredDocument } from '../domain/stored-document.js';
import { GodwitError } from '../errors.js';
import { locateIn } from '../migration/load.js';
import { auditOfChunk, auditTotals } from '../mongo/audit-entries.js';
import { listChunks } from '../mongo/chunks.js';
import { countFailures } from '../mongo/failures.js';
import { canonicalsIn } from '../mongo/id-map.js';
import { readOnlyDb } from '../mongo/read-only-db.js';
import type { State } from '../mongo/state.js';
import { requireTarget } from '../mongo/target.js';
import { type Check, equal, MAX_LISTED, type Verification, type VerifyFacts } from './checks.js';
import { asMet } from './evaluate.js';
import { inspectStep } from './inspect.js';
import { mergedFor } from './legacy.js';
import { proveMerge } from './prove-merge.js';
import { proveReferences } from './prove-references.js';
import { proveSchema } from './prove-schema.js';
import { proveTypes } from './prove-types.js';
import { referencesIn } from './references.js';

/** Every document of a step: as the run left it, or right as it is. */
async function inspectAll(
  facts: VerifyFacts,
  index: number,
  before: number,
): Promise<{ readonly checks: readonly Check[]; readonly checked: number }> {
  const step = facts.loaded.units[index];
  const planned = facts.run.steps[index];
  if (!step || !planned)
    throw new GodwitError('GODWIT_CHECKSUM', `wanted step ${index + 1} of the plan in the migration, found none`);
  const { uuid } = await requireTarget(facts.db, step.collection);
  if (step.kind === 'merge') return proveMerge(facts, index, { step, uuid, before });
  if (step.kind === 'script' || step.kind === 'given')
    return {
      checks: [equal(`${step.collection}: the collection that was written to`, planned.uuid, uuid)],
      checked: 0,
    };
  const chunks = (await listChunks(facts.state, facts.run._id)).filter((chunk) => chunk.step === index);
  let checked = 0;
  let strays = 0;
  const inspection = inspectStep(
    {
      db: facts.db,
      state: facts.state,
      run: facts.run._id,
      step,
      from: { db: facts.db, collection: step.collection, uuid, canonicals: canonicalsIn(facts.state) },
      chunks,
      locate: locateIn(facts.loaded),
      transformTimeoutMs: facts.transformTimeoutMs,
      isFull: facts.isFull,
      ...mergedFor(facts, step),
    },
    index,
  );
  for await (const found of inspection) {
    if (facts.signal.aborted) throw facts.signal.reason;
    checked += found.checked;
    strays += found.strays.length;
    facts.events.emit('run:verify', { run: facts.run._id, checked: before + checked, total: facts.run.total });
  }
  const checks = [
    equal(`${step.collection}: the collection that was migrated`, planned.uuid, uuid),
    equal(`${step.collection}: documents that the migration would still change`, 0, strays),
    ...(await checkReferences(facts, index, uuid)),
  ];
  return { checks, checked };
}

const isOfDocuments = (unit: Unit): unit is DocumentUnit =>
  ['transform', 'pipeline', 'series', 'legacy'].includes(unit.kind);

/** Of the steps that `references()` made. */
async function checkReferences(facts: VerifyFacts, stepIndex: number, uuid: string): Promise<Check[]> {
  const unit = facts.loaded.units[stepIndex];
  const { db, state, run, signal } = facts;
  const checks: Check[] = [];
  for (const step of unit ? referencesIn(unit) : []) {
    const from = { db, collection: step.collection, uuid, canonicals: canonicalsIn(state) };
    // What the other steps of a series have made of a document may be what its filter was about.
    const filter = unit?.kind === 'series' ? undefined : step.filter;
    const met = (before: StoredDocument): Promise<StoredDocument> =>
      unit && isOfDocuments(unit)
        ? asMet({ step: unit, from, locate: locateIn(facts.loaded), timeoutMs: facts.transformTimeoutMs }, step, before)
        : Promise.resolve(before);
    const proof = await proveReferences({ db, state, run: run._id, step, stepIndex, from, filter, signal, asMet: met });
    const name = `${step.collection}.${step.refers?.path}: documents with a reference`;
    checks.push(
      {
        ...equal(`${name} that dangles, and did not before`, 0, proof.broken.length),
        listed: proof.broken.slice(0, MAX_LISTED),
      },
      {
        name: `${name} that names none or several of ${step.refers?.to}, as before`,
        ok: true,
        expected: 'any',
        found: proof.counts.documents - proof.broken.length,
        listed: proof.listed.slice(0, MAX_LISTED),
      },
    );
  }
  return checks;
}

/** The audit of a run: whole, and as it was written. */
export async function checkAudit(facts: VerifyFacts): Promise<Check[]> {
  const { run, state } = facts;
  if (run.purged) {
    const when = `purged on ${run.purged.at.toISOString().slice(0, 10)}: ${run.purged.because}`;
    return [equal('audit', when, when)];
  }
  const totals = await auditTotals(state, run._id, 'up');
  const chunks = await listChunks(state, run._id);
  const written = writtenOf(sumOfCounters(chunks));
  const batches = chunks.reduce((sum, chunk) => sum + chunk.seq, 0);
  return [
    equal('audit entries of changed documents', written, totals.entries),
    equal('audit batches without a gap', batches, totals.batches),
    await checkChains(facts),
  ];
}

/** Chunks whose audit chain is broken: a batch is missing, was swapped, or edited. */
async function checkChains(facts: VerifyFacts): Promise<Check> {
  let broken = 0;
  let where = '';
  for (const chunk of await listChunks(facts.state, facts.run._id)) {
    const at = await brokenAt(facts.state, chunk);
    if (at === null) continue;
    broken += 1;
    where ||= ` (first: chunk ${chunk.n} of step ${chunk.step + 1}, batch ${at})`;
  }
  return equal(`audit chains that are broken${where}`, 0, broken);
}

/** Number of the first batch that does not fit the chain; null when all do, up to the head in the chunk. */
async function brokenAt(state: State, chunk: Chunk): Promise<number | null> {
  let chain = '';
  let seq = 0;
  for await (const { head, isIntact } of auditOfChunk(state, chunk, 'up')) {
    seq += 1;
    chain = chainAfter(chain, head.digest);
    if (head.seq !== seq || !isIntact || head.chain !== chain) return head.seq;
  }
  return chain === chunk.chain ? null : seq + 1;
}

/** What the validator refuses fails the proof; what it only warns of is listed. */
async function checkValidator(db: Db, collection: string): Promise<Check[]> {
  const { validator, validationLevel, validationAction } = await requireTarget(db, collection);
  if (!validator || validationLevel === 'off') return [];
  const against = { $nor: [validator] } as Filter<Document>;
  const found = await db.collection(collection).countDocuments(against);
  if (validationAction === 'error') return [equal(`${collection}: documents that the validator refuses`, 0, found)];
  const first = await db
    .collection(collection)
    .find(against, { projection: { _id: 1 }, promoteValues: false, limit: MAX_LISTED })
    .toArray();
  const name = `${collection}: documents that the validator only warns of`;
  return [{ name, ok: true, expected: 'any', found, listed: first.map(({ _id }) => _id) }];
}

/** Longest message of an author's that is shown, in characters. */
const MAX_WORDS = 200;

/** What the author says does not hold, in the author's own words. */
function wordsOf(thrown: unknown): string {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return text.split('\n')[0]?.slice(0, MAX_WORDS) ?? 'an error';
}

/** Runs the author's `verify`; every `expect…` is a check, and so is what it throws. */
async function checkInvariants(facts: VerifyFacts): Promise<Check[]> {
  const { verify } = facts.loaded.migration;
  if (!verify) return [];
  const checks: Check[] = [];
  const db = readOnlyDb(facts.db, 'plain');
  const expectCount = async (collection: string, filter: Filter<Document>, expected: number): Promise<void> => {
    checks.push(
      equal(
        `verify(): ${collection} ${JSON.stringify(Object.keys(filter))}`,
        expected,
        await db.count(collection, filter),
      ),
    );
  };
  const context: VerifyContext = {
    db,
    expectCount,
    expectNone: (collection, filter) => expectCount(collection, filter, 0),
  };
  try {
    await verify.call(facts.loaded.migration, context);
    if (checks.length === 0) checks.push({ name: 'verify()', ok: true, expected: 'no error', found: 'no error' });
  } catch (error) {
    checks.push({
      name: 'verify()',
      ok: false,
      expected: 'no error',
      found: wordsOf(error),
    });
  }
  return checks;
}

export async function verifyRun(facts: VerifyFacts): Promise<Verification> {
  const { run } = facts;
  const checks: Check[] = [equal('state of the run', 'completed', run.state)];
  let checked = 0;
  for (const [index, { collection, kind }] of run.steps.entries()) {
    const inspected = await inspectAll(facts, index, checked);
    checked += inspected.checked;
    checks.push(...inspected.checks);
    if (kind !== 'pipeline' && kind !== 'legacy') checks.push(...(await proveTypes(facts, index, collection)));
    // Sources were never to be made valid.
    if (kind !== 'legacy') checks.push(...(await checkValidator(facts.db, collection)));
  }
  checks.push(...(await proveSchema(facts)));
  checks.push(equal('documents in quarantine', 0, await countFailures(facts.state, run._id)));
  checks.push(...(await checkAudit(facts)), ...(await checkInvariants(facts)));
  return { ok: checks.every(({ ok }) => ok), checks, checked };
}
