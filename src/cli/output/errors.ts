/** An error on the terminal and in JSON: what was wanted and found, where, what next. */
import type { GodwitError } from '../../errors.js';
import { ShownId } from '../../report/shown-id.js';
import { codeFrame } from './code-frame.js';
import type { Io } from './io.js';
import { nextLines, wrap } from './layout.js';

export interface ErrorJson {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly next: readonly string[];
    readonly details: Readonly<Record<string, unknown>>;
  };
}

export const errorJson = (error: GodwitError): ErrorJson => ({
  error: { code: error.code, message: error.message, next: error.next, details: error.details },
});

/** Writes the error to stderr, and with --json as the one document to stdout. */
export function showError(io: Io, error: GodwitError): void {
  io.json(errorJson(error));
  const [first, ...rest] = wrap(`error ${error.code}: ${error.message}`, Math.max(60, io.columns));
  const at = error.details['at'];
  const frame = typeof at === 'string' ? ['', ...codeFrame(at), ''] : [];
  const { document } = error.details;
  const which = document instanceof ShownId ? [`  document  _id ${document.text(io.stderr.isTTY === true)}`] : [];
  io.error([io.paintErr('fail', first ?? ''), ...rest, ...which, ...frame, ...nextLines(error.next)]);
  // Only the frames: a message may go on for lines, and quote values in each.
  if (io.options.verbose && error.cause instanceof Error)
    io.error([
      `cause: ${error.cause.name} (stack follows)`,
      ...(error.cause.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)),
    ]);
}
