/** `_id`s as people type them: 24 hex digits, a number, a text, or Extended JSON. */
import { EJSON, ObjectId } from 'bson';
import type { Db, Document, Filter } from 'mongodb';
import { GodwitError } from '../errors.js';
import { toTyped } from '../kernel/values.js';
import type { LoadedMigration } from '../migration/load.js';

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

/**
 * The `_id`s that the text of `--only` means, in the collections of a migration.
 *
 * @throws GodwitError GODWIT_DOCUMENT_UNKNOWN
 */
export async function idsOf(
  session: { readonly db: Db },
  loaded: LoadedMigration,
  text: string,
): Promise<readonly unknown[]> {
  const ids: unknown[] = [];
  const names = loaded.migration.steps.map(({ collection }) => collection);
  for (const name of names) {
    const found = await findDocument(session.db, name, text);
    if (found) ids.push(found.id);
  }
  if (ids.length > 0) return ids;
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
