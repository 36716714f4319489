import { isBlank } from './blank.js';

const YES = new Set<unknown>([true, 1, 'y', 'yes', 'true', '1']);
const NO = new Set<unknown>([false, 0, 'n', 'no', 'false', '0']);

/**
 * Nothing written means yes: the old application took a customer without the field for an active one.
 * `undefined`: neither yes nor no.
 */
export function toFlag(value: unknown): boolean | undefined {
  const answer = typeof value === 'string' ? value.trim().toLowerCase() : value;
  if (isBlank(value) || YES.has(answer)) return true;
  return NO.has(answer) ? false : undefined;
}
