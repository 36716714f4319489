/** What a run has made of the types of values, told from its audit: the same figures as in its dry run. */
import { decodeEntries } from '../domain/audit-entry.js';
import { withFields } from '../domain/change.js';
import { differencesOf } from '../domain/differences.js';
import { NumberTypes, type TypesByPath } from '../domain/number-types.js';
import { auditOfChunk } from '../mongo/audit-entries.js';
import { listChunks } from '../mongo/chunks.js';
import type { Check, VerifyFacts } from './checks.js';

async function typesOf({ state, run, signal }: VerifyFacts, stepIndex: number): Promise<NumberTypes> {
  const types = new NumberTypes();
  for (const chunk of (await listChunks(state, run._id)).filter(({ step }) => step === stepIndex))
    for await (const { head, images, isIntact } of auditOfChunk(state, chunk, 'up')) {
      if (signal.aborted) throw signal.reason;
      // One that is not intact is found by its chain.
      if (head.n === 0 || !isIntact) continue;
      for (const { kind, before, set: fields, unset } of decodeEntries(images)) {
        if (kind === 'delete') continue;
        const set = new Map(Object.entries(fields));
        types.add(differencesOf({ before, set, unset, after: withFields(before, set, unset).after }));
      }
    }
  return types;
}

const textOf = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([label, count]) => `${label} (${count})`)
    .join(', ');

const told = (collection: string, what: string, found: TypesByPath): Check[] =>
  Object.entries(found).map(([path, counts]) => ({
    name: `${collection}.${path}: ${what}`,
    ok: true,
    expected: 'any',
    found: textOf(counts),
  }));

/**
 * Of a step whose values went through JavaScript. Listed, never judged: what an author wants to write, only the author
 * knows. Documents that were changed twice count twice.
 */
export async function proveTypes(facts: VerifyFacts, stepIndex: number, collection: string): Promise<Check[]> {
  if (facts.run.purged) return [];
  const { mixed, retyped } = await typesOf(facts, stepIndex);
  return [
    ...told(collection, 'values of two types were written', mixed),
    ...told(collection, 'numbers whose type was changed', retyped),
  ];
}
