/** Proves the schema steps of a run: what they made is there. Reads only. */
import type { SchemaOperation } from '../domain/schema-operation.js';
import { isCarriedOut } from '../mongo/schema-look.js';
import { type Check, equal, type VerifyFacts } from './checks.js';
import { beforeOf } from './schema-records.js';

/** Two steps about one index, or one validator: the later one decides. */
function isSameThing(a: SchemaOperation, b: SchemaOperation): boolean {
  if (a.collection !== b.collection) return false;
  if (a.kind === 'setValidator') return b.kind === a.kind;
  const isIndex = (operation: SchemaOperation) => operation.kind === 'createIndex' || operation.kind === 'dropIndex';
  return isIndex(a) && isIndex(b) && 'name' in a && 'name' in b && a.name === b.name;
}

export async function proveSchema({ db, run, loaded }: VerifyFacts): Promise<Check[]> {
  const checks: Check[] = [];
  const operations = loaded.schema.map(({ step }) => step.operation);
  for (const [index, record] of (run.schema ?? []).entries()) {
    const operation = operations[index];
    if (!operation || operations.slice(index + 1).some((later) => isSameThing(operation, later))) continue;
    const found = (await isCarriedOut(db, operation, beforeOf(record))) ? 'done' : 'not so';
    checks.push(equal(`schema: ${record.text}`, 'done', found));
  }
  return checks;
}
