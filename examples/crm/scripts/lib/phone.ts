import { isBlank } from './blank.js';

export type Phone = { number: string; extension?: string };

/**
 * `+` and digits where the country is known, the bare digits otherwise. `null`: there is none; `undefined`: not a number.
 *
 * @example toPhone('(555) 555-0100 ext. 12') // { number: '+15555550100', extension: '12' }
 */
export function toPhone(value: unknown): Phone | null | undefined {
  if (isBlank(value)) return null;
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const text = String(value).trim().replace(/^tel:/i, '');
  const parts = /^(\+?)([\d\s().-]+?)(?:\s*(?:ext\.?|x)\s*(\d+))?$/i.exec(text);
  if (!parts) return undefined;
  const [, plus, main = '', extension] = parts;
  const digits = main.replace(/\D/g, '');
  if (digits.length < 7 || digits.length > 15) return undefined;
  const number = plus ? `+${digits}` : withCountry(digits);
  return extension === undefined ? { number } : { number, extension };
}

/** Our old forms were filled in by North Americans without, and by the Portuguese with or without their country's code. */
function withCountry(digits: string): string {
  if (digits.startsWith('00')) return `+${digits.slice(2)}`;
  if (digits.length === 10) return `+1${digits}`;
  if (digits.length === 11 && digits.startsWith('1')) return `+${digits}`;
  if (digits.length === 12 && digits.startsWith('351')) return `+${digits}`;
  if (digits.length === 9 && /^[29]/.test(digits)) return `+351${digits}`;
  return digits;
}
