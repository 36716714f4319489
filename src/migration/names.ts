/** The name of a migration's file: the minute in which it was made, and words. */
import { GodwitError } from '../errors.js';

/** Longest name in a file's name, in characters. */
const MAX_NAME = 80;

/** What a name must not hold, and what to call it. */
const ODD_NAMES: readonly (readonly [RegExp, string])[] = [
  [/[/\\]/, 'a path'],
  [/\p{Cc}/u, 'a control character'],
  [/\.[cm]?[jt]s$/i, "a file's extension"],
  [/^\d{8}T\d{4}-/, 'a date, which `create` puts in front by itself'],
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

/** `20261123T0900-unify-contacts`: the minute in UTC, then the name. */
export function migrationId(name: string, now: Date): string {
  const minute = now.toISOString().slice(0, 16).replace(/[-:]/g, '');
  return `${minute}-${toKebabCase(name)}`;
}
