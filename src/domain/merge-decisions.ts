/**
 * What a person has decided about documents that the rules of a merge make one: the duplicates report of a dry run,
 * edited. It names documents by `ref`, since files show no texts of a database.
 */
import { sha256 } from '../kernel/raw-bson.js';
import { isPlainObject, toBytes } from '../kernel/values.js';
import { broken, describe } from './author-checks.js';

export interface Decisions {
  /** It is nobody else, whatever the rules say. */
  isApart(collection: string, id: unknown): boolean;
  /** Whose value stays where this source document meets another one in a field; undefined: the rules say. */
  kept(collection: string, id: unknown, field: string): 'target' | 'source' | undefined;
}

/** Everything as the rules say. */
export const NO_DECISIONS: Decisions = { isApart: () => false, kept: () => undefined };

/** The name of a source document in a duplicates report: 16 hexadecimal digits of a SHA-256. @param id typed */
export const refOf = (collection: string, id: unknown): string =>
  sha256(toBytes({ collection, id })).toString('hex').slice(0, 16);

type Json = Record<string, unknown>;

/** @param what where it is, as an error says it */
function listIn(of: Json, name: string, what: string): Json[] {
  const list = of[name] ?? [];
  if (!Array.isArray(list)) throw broken(`${what}.${name} as a list`, describe(list));
  for (const [at, item] of list.entries())
    if (!isPlainObject(item)) throw broken(`${what}.${name}[${at}] as an object`, describe(item));
  return list as Json[];
}

function refIn(of: Json, what: string): string {
  const { ref } = of;
  if (typeof ref !== 'string' || !/^[0-9a-f]{16}$/.test(ref))
    throw broken(`${what}.ref as the report has it`, typeof ref === 'string' ? `"${ref}"` : describe(ref));
  return ref;
}

function flagIn(of: Json, name: string, what: string): boolean {
  const flag = of[name] ?? false;
  if (typeof flag !== 'boolean') throw broken(`${what}.${name} as true or false`, describe(flag));
  return flag;
}

/** `other` is what a function of the migration makes of both: it stays the function's. */
const KEPT = ['target', 'source', 'other'];

/**
 * Reads an edited report.
 *
 * @param text JSON: `{ groups: [{ members: [{ ref, apart }], conflicts: [{ ref, field, kept }] }] }`, other names ignored
 * @throws GodwitError GODWIT_MIGRATION_BROKEN, naming the place
 */
export function parseDecisions(text: string, file: string): Decisions {
  let report: unknown;
  try {
    report = JSON.parse(text);
  } catch {
    throw broken(`JSON in ${file}`, 'something else');
  }
  if (!isPlainObject(report) || !('groups' in report))
    throw broken(
      `a duplicates report in ${file}: { groups: [ … ] }`,
      isPlainObject(report) ? 'no groups' : describe(report),
    );
  const apart = new Set<string>();
  const kept = new Map<string, 'target' | 'source'>();
  for (const [at, group] of listIn(report, 'groups', file).entries()) {
    const where = `${file}: groups[${at}]`;
    for (const [n, member] of listIn(group, 'members', where).entries()) {
      const place = `${where}.members[${n}]`;
      if (flagIn(member, 'apart', place)) apart.add(refIn(member, place));
    }
    for (const [n, conflict] of listIn(group, 'conflicts', where).entries()) {
      const place = `${where}.conflicts[${n}]`;
      const { field, kept: whose } = conflict;
      if (typeof field !== 'string') throw broken(`${place}.field as a text`, describe(field));
      if (!KEPT.includes(String(whose))) throw broken(`${KEPT.join(', ')} in ${place}.kept`, `"${String(whose)}"`);
      if (whose === 'target' || whose === 'source') kept.set(`${refIn(conflict, place)}/${field}`, whose);
    }
  }
  return {
    isApart: (collection, id) => apart.size > 0 && apart.has(refOf(collection, id)),
    kept: (collection, id, field) => (kept.size > 0 ? kept.get(`${refOf(collection, id)}/${field}`) : undefined),
  };
}
