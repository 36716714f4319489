/** What must not be seen: passwords in URIs, and field values, which are shown as their shape only. */

/** The text with the credentials of every MongoDB URI in it replaced. */
export function redactUris(text: string): string {
  return text.replace(/(mongodb(?:\+srv)?:\/\/)([^\s/]*)@/gi, (_all, scheme: string, credentials: string) => {
    const user = credentials.split(':')[0] ?? '';
    return `${scheme}${user}:***@`;
  });
}

/** Longest masked text shown, in characters. */
const MAX_SHAPE = 60;

/**
 * The shape of a text: letters become x or X, digits 9, white space at either end `_`, control characters `.`;
 * punctuation stays, so that case, trimming, splitting and length can be reviewed without one value being seen.
 */
export function shapeOf(text: string): string {
  const masked = text
    .replace(/\p{L}/gu, (letter) => (/\p{Lu}/u.test(letter) ? 'X' : 'x'))
    .replace(/\p{N}/gu, '9')
    .replace(/\p{C}/gu, '.')
    .replace(/^\s+|\s+$/gu, (blank) => '_'.repeat(blank.length));
  return masked.length > MAX_SHAPE ? `${masked.slice(0, MAX_SHAPE)}... (${text.length})` : masked;
}
