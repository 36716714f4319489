import { isBlank } from './blank.js';

/** The address in lower case, without spaces and `mailto:`. `null`: there is none; `undefined`: not an address. */
export function toEmail(value: unknown): string | null | undefined {
  if (isBlank(value)) return null;
  if (typeof value !== 'string') return undefined;
  const email = value
    .trim()
    .toLowerCase()
    .replace(/^mailto:/, '')
    .trim();
  return /^[^\s@]+@[^\s@]+$/.test(email) ? email : undefined;
}
