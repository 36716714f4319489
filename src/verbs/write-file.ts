/** Files that were asked for: whole or not there. */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GodwitError } from '../errors.js';

/** Pipes, terminals and devices are written to, never replaced by a file of their name. */
async function isReplaceable(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => true,
  );
}

/**
 * Writes the pieces to a file beside it first, which then takes its name: nobody sees half of it.
 *
 * @param mode permissions of the file, when it is made
 * @throws GodwitError GODWIT_REPORT_NOT_WRITTEN
 */
export async function writeWhole(
  path: string,
  what: string,
  pieces: Iterable<string> | AsyncIterable<string>,
  mode = 0o644,
): Promise<void> {
  const isAside = await isReplaceable(path);
  // Of this call alone: two of one process may write to one path.
  const written = isAside ? `${path}.${randomBytes(4).toString('hex')}.part` : path;
  try {
    if (isAside) await mkdir(dirname(path), { recursive: true });
    await pipeline(Readable.from(pieces), createWriteStream(written, { mode }));
    if (isAside) await rename(written, path);
  } catch (error) {
    if (isAside) await rm(written, { force: true }).catch(() => undefined);
    throw new GodwitError(
      'GODWIT_REPORT_NOT_WRITTEN',
      `wanted to write ${what} to ${path}, found ${error instanceof Error ? error.message : String(error)}`,
      { cause: error, next: ['the database is as it should be: only the file is missing'] },
    );
  }
}
