import { isBlank } from './blank.js';

/**
 * A list without doubles, in lower case and in the order of first mention; from a list, or from text with commas or
 * semicolons. `undefined`: not a list of texts.
 */
export function toTags(value: unknown): string[] | undefined {
  if (isBlank(value)) return [];
  const list: unknown = typeof value === 'string' ? value.split(/[,;]/) : value;
  if (!Array.isArray(list) || !list.every((tag) => typeof tag === 'string')) return undefined;
  const tags = list.map((tag) => tag.trim().toLowerCase());
  return [...new Set(tags)].filter((tag) => tag !== '');
}
