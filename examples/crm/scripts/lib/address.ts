import { isBlank } from './blank.js';

export type Address = {
  street: string;
  city?: string;
  postalCode?: string;
  country?: string;
  [other: string]: unknown;
};

/** The names that the address form has had over the years. */
const OLD_NAMES: Readonly<Record<string, string>> = { line1: 'street', town: 'city', zip: 'postalCode' };

/** A sub-document, whether it was one already or a text. `null`: there is none; `undefined`: not an address. */
export function toAddress(value: unknown): Address | null | undefined {
  if (isBlank(value)) return null;
  if (typeof value === 'string') return fromText(value);
  return isSubDocument(value) ? renamed(value) : undefined;
}

/** Not a list, and neither a date nor a BSON value. */
function isSubDocument(value: unknown): value is Record<string, unknown> {
  return Object.prototype.toString.call(value) === '[object Object]' && !('_bsontype' in (value as object));
}

/** Street, city, postal code, country, with commas or line ends between. A text of fewer parts stays in one piece. */
function fromText(text: string): Address {
  const parts = text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const [street = '', city = '', postalCode = '', ...country] = parts;
  if (country.length === 0) return { street: text.trim() };
  return { street, city, postalCode, country: country.join(', ') };
}

function renamed(address: Readonly<Record<string, unknown>>): Address {
  const entries = Object.entries(address).map(([name, value]) => [OLD_NAMES[name] ?? name, value]);
  return { street: '', ...Object.fromEntries(entries) };
}
