/** The `migrations_evidence` collection. */
import { randomBytes } from 'node:crypto';
import type { Waiver } from '../domain/evidence.js';
import { createIfMissing, STATE_FORMAT, type State } from './state.js';

/** Keeps a waiver. */
export async function storeWaiver(
  { db, evidence }: State,
  waiver: Omit<Waiver, '_id' | 'godwit' | 'kind'>,
): Promise<Waiver> {
  await createIfMissing(db, evidence.collectionName);
  const whole: Waiver = { _id: `e-${randomBytes(6).toString('hex')}`, godwit: STATE_FORMAT, kind: 'waiver', ...waiver };
  await evidence.insertOne(whole);
  return whole;
}

/** Those that count for the file, now. @param now the server's clock */
export const listWaivers = (
  { evidence }: State,
  { migration, checksum }: Pick<Waiver, 'migration' | 'checksum'>,
  now: Date,
): Promise<Waiver[]> =>
  evidence
    .find({ kind: 'waiver', migration, checksum, $or: [{ until: null }, { until: { $gt: now } }] })
    .sort({ at: 1 })
    .toArray();
