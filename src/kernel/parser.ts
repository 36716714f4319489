/** The parser of JavaScript and TypeScript. */
import { GodwitError } from '../errors.js';

type Parser = typeof import('oxc-parser');

/**
 * Loaded when first needed: its native part is an optional dependency, and `--version` must work without it.
 *
 * @throws GodwitError GODWIT_UNEXPECTED where that part is not installed
 */
export async function loadParser(): Promise<Parser> {
  try {
    return await import('oxc-parser');
  } catch (error) {
    throw new GodwitError('GODWIT_UNEXPECTED', 'the native part of oxc-parser is not installed: files cannot be read', {
      next: ['npm install   without --omit=optional'],
      cause: error,
    });
  }
}
