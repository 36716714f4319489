/** `_id`s as people type them: 24 hex digits, a number, a text, or Extended JSON. */
import { EJSON, ObjectId } from 'bson';
import type { Db, Document, Filter } from 'mongodb';
import { decodeEntries } from '../domain/audit-entry.js';
import { keyOf, typedId } from '../domain/stored-document.js';
import { GodwitError } from '../errors.js';
import { bsonType, toTyped } from '../kernel/values.js';
import type { LoadedMigration } from '../migration/load.js';
import { auditAround } from '../mongo/audit-entries.js';
import type { State } from '../mongo/state.js';

/** What a text may mean, likeliest first. */
export function idCandidates(text: string): unknown[] {
  const candidates: unknown[] = [];
  if (/^[0-9a-f]{24}$/i.test(text)) candidates.push(new ObjectId(text));
  const typed = parseExtendedJson(text);
  if (typed !== undefined) candidates.push(typed.value);
  candidates.push(text);
  return candidates;
}

function parseExtendedJson(text: string): { readonly value: unknown } | undefined {
  if (!/^(\{|\[|"|-?\d|null$|true$|false$)/.test(text)) return undefined;
  try {
    return { value: EJSON.parse(text, { relaxed: true }) as unknown };
  } catch {
    return undefined;
  }
}

/** The `_id`, exactly as it is stored, of the first document that the text may mean; null when there is none. */
async function findDocument(db: Db, collection: string, text: string): Promise<{ readonly id: unknown } | null> {
  for (const candidate of idCandidates(text)) {
    const found = await db
      .collection(collection)
      .findOne({ _id: { $eq: candidate } } as Filter<Document>, { raw: true, projection: { _id: 1 } });
    if (found) return { id: toTyped(found as unknown as Buffer)['_id'] };
  }
  return null;
}

/** True when a typed `_id` is what was meant: the same, or a number of the same value in another type. */
function isMeant(id: unknown, candidate: unknown): boolean {
  if (keyOf(id) === keyOf(candidate)) return true;
  return typeof candidate === 'number' && isNumber(id) && Number(String(id)) === candidate;
}

const isNumber = (id: unknown): boolean =>
  typeof id === 'number' || ['Int32', 'Double', 'Long', 'Decimal128'].includes(bsonType(id) ?? '');

/**
 * The `_id`s, exactly as they were, of the documents of a run that the text may mean: of the likeliest meaning that
 * the audit knows. Empty when it knows none.
 */
export async function auditedIds(state: State, run: string, text: string): Promise<readonly unknown[]> {
  for (const candidate of idCandidates(text)) {
    const ids = new Map<string, unknown>();
    for (const { images, isIntact } of await auditAround(state, run, candidate)) {
      // It may have been in there: whoever reads on meets the broken images.
      if (!isIntact) ids.set(keyOf(candidate), candidate);
      else
        for (const { before } of decodeEntries(images))
          if (isMeant(typedId(before), candidate)) ids.set(before.key, typedId(before));
    }
    if (ids.size > 0) return [...ids.values()];
  }
  return [];
}

/**
 * The `_id`s that the text of `--only` means, in the collections of a migration.
 *
 * @param run when given, documents that it changed and that are gone since count as well
 * @throws GodwitError GODWIT_DOCUMENT_UNKNOWN
 */
export async function idsOf(
  session: { readonly db: Db; readonly state: State },
  loaded: LoadedMigration,
  text: string,
  run?: string,
): Promise<readonly unknown[]> {
  const ids: unknown[] = [];
  const names = loaded.units.map(({ collection }) => collection);
  for (const name of names) {
    const found = await findDocument(session.db, name, text);
    if (found) ids.push(found.id);
  }
  if (ids.length > 0) return ids;
  const gone = run === undefined ? [] : await auditedIds(session.state, run, text);
  if (gone.length > 0) return gone;
  throw new GodwitError(
    'GODWIT_DOCUMENT_UNKNOWN',
    `wanted a document by the _id given to --only, found none in ${names.join(', ')}`,
    {
      next: [
        'an ObjectId is given as its 24 hex digits, other types as Extended JSON: --only \'{"$numberLong":"42"}\'',
      ],
    },
  );
}

/** Groups of a merge, and what a script does, cannot be asked for by an `_id`. @throws GodwitError GODWIT_USAGE */
export function requireDocuments({ id, units }: LoadedMigration): void {
  const found = units.find(({ kind }) => kind === 'merge' || kind === 'script');
  if (!found) return;
  throw new GodwitError(
    'GODWIT_USAGE',
    `wanted a migration without merges and scripts for --only, found a ${found.kind} in ${id}`,
    {
      next: [`godwit run ${id} --limit 100   a part of it`, `godwit run ${id} --dry-run     what would become of them`],
    },
  );
}
