/** The servers that Godwit works with. */
import { GodwitError } from '../errors.js';

/** `collectionUUID`, which every read carries, came with MongoDB 6.0. */
const OLDEST_MAJOR = 6;

/** @throws GodwitError GODWIT_SERVER_VERSION */
export function requireVersion(version: string): void {
  if (Number.parseInt(version, 10) >= OLDEST_MAJOR) return;
  throw new GodwitError('GODWIT_SERVER_VERSION', `wanted MongoDB ${OLDEST_MAJOR}.0 or later, found ${version}`, {
    next: ['update the server'],
  });
}
