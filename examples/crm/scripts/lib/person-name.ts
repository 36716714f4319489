import { isBlank } from './blank.js';

export type PersonName = { first: string; last: string };
export type NameFields = { fullName?: unknown; firstName?: unknown; lastName?: unknown };

/**
 * From two fields or from one ('Ada Lovelace', 'Lovelace, Ada'). A part that nobody wrote down is empty.
 * `null`: there is no name; `undefined`: not a name.
 */
export function toName({ fullName, firstName, lastName }: NameFields): PersonName | null | undefined {
  if (![fullName, firstName, lastName].every((part) => isBlank(part) || typeof part === 'string')) return undefined;
  const first = tidy(firstName);
  const last = tidy(lastName);
  return first || last ? { first, last } : fromFullName(tidy(fullName));
}

function fromFullName(name: string): PersonName | null {
  if (name === '') return null;
  const [beforeComma = '', afterComma] = name.split(/\s*,\s*/, 2);
  if (afterComma !== undefined) return { first: afterComma, last: beforeComma };
  const lastSpace = name.lastIndexOf(' ');
  return { first: name.slice(0, Math.max(lastSpace, 0)), last: name.slice(lastSpace + 1) };
}

function tidy(text: unknown): string {
  return typeof text !== 'string' || isBlank(text) ? '' : text.trim().replace(/\s+/g, ' ');
}
