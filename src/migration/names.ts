/** The name of a migration's file: the second in which it was made, and words. */
import { GodwitError } from '../errors.js';

/** Longest name in a file's name, in characters. */
const MAX_NAME = 80;

/** What a name must not hold, and what to call it. */
const ODD_NAMES: readonly (readonly [RegExp, string])[] = [
  [/[/\\]/, 'a path'],
  [/\p{Cc}/u, 'a control character'],
  [/\.[cm]?[jt]s$/i, "a file's extension"],
  [/^\d{8}T\d{4}(\d{2})?-/, 'a date, which `create` puts in front by itself'],
];

function refuseName(found: string): GodwitError {
  return new GodwitError('GODWIT_USAGE', `wanted a name for the migration, found ${found}`, {
    next: ['godwit create unify-contacts', 'godwit create "Unify contacts"'],
  });
}

/**
 * `Unify Contacts` → `unify-contacts`. Accents go, letters that are not Latin too.
 *
 * @throws GodwitError GODWIT_USAGE for a name that is a path, a dated id, too long, or of which nothing is left
 */
export function toKebabCase(name: string): string {
  const odd = ODD_NAMES.find(([pattern]) => pattern.test(name));
  if (odd) throw refuseName(odd[1]);
  const kebab = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  if (kebab === '')
    throw refuseName(name.trim() === '' ? 'an empty one' : 'one without a letter or digit of a to z, 0 to 9');
  if (kebab.length > MAX_NAME) throw refuseName(`one of ${kebab.length} characters (at most ${MAX_NAME})`);
  return kebab;
}

const STAMP = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})?-/;
const SECOND_MS = 1_000;

/** When a migration was made, as its id says it, in ms; null for an id without a date. */
function madeAt(id: string): number | null {
  const [all, year, month, day, hour, minute, second = '00'] = STAMP.exec(id) ?? [];
  return all === undefined ? null : Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/**
 * `20261123T090015-unify-contacts`: the second in UTC, then the name. Ids sort as they were made: behind a later one that
 * is there already, of the same second or of a clock that is ahead, it takes the second after that.
 *
 * @param there ids of the project
 */
export function migrationId(name: string, now: Date, there: readonly string[] = []): string {
  const last = Math.max(...there.flatMap((id) => madeAt(id) ?? []), 0);
  // One far ahead is somebody's mistake, and no reason for another.
  const isAhead =
    last - now.getTime() < 60 * 60 * SECOND_MS && last >= Math.floor(now.getTime() / SECOND_MS) * SECOND_MS;
  const at = isAhead ? new Date(last + SECOND_MS) : now;
  return `${at.toISOString().slice(0, 19).replace(/[-:]/g, '')}-${toKebabCase(name)}`;
}
