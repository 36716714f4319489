const BLANKS = new Set(['', '-', 'n/a', 'none', '0000-00-00']);

/** What the old forms wrote when there was nothing to write. */
export function isBlank(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && BLANKS.has(value.trim().toLowerCase()));
}
