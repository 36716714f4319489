/**
 * Arithmetic before the first write: what a run would write, against the room that the server has for it. The audit must
 * fit the free disk, and the run's own entries must leave half of the oplog to everybody else who reads it.
 */
import type { RunDocument } from '../domain/run.js';
import { readBy } from '../domain/series-step.js';
import { GodwitError } from '../errors.js';
import { formatBytes } from '../kernel/units.js';
import type { LoadedMigration } from '../migration/load.js';
import { type Fact, readDiskSpace, readOplogWindow } from '../mongo/server-facts.js';
import { readDataBytes } from '../mongo/target.js';
import { analyse, estimateOf, scaleOf, sum } from './analysis.js';
import { createdBy } from './schema.js';
import type { Session } from './session.js';

/** Documents that are read, transformed and compressed for the projection. */
const SAMPLE = 500;
/** Share of the oplog that a run may fill. */
const OPLOG_SHARE = 0.5;
/** Audit and oplog together never take more than so many times the data: before images once and twice, and the changes. */
const MOST = 4;

export interface Limits {
  /** Null: not known. */
  readonly freeBytes: number | null;
  readonly oplogBytes: number | null;
}

const known = <T>(fact: Fact<T> | null): T | null => (fact?.known ? fact.value : null);

/** What cannot be asked is no limit: `doctor` says which right is missing. */
async function readLimits({ client, state }: Session): Promise<Limits> {
  const disk = known(await readDiskSpace(state.runs.db).catch(() => null));
  const oplog = known(await readOplogWindow(client).catch(() => null));
  return { freeBytes: disk?.freeBytes ?? null, oplogBytes: oplog ? oplog.maxBytes * OPLOG_SHARE : null };
}

async function dataBytes({ db }: Session, loaded: LoadedMigration): Promise<number> {
  const created = createdBy(loaded);
  let bytes = 0;
  for (const unit of loaded.units)
    for (const name of new Set([unit.collection, ...readBy(unit)]))
      bytes += (await readDataBytes(db, name)) ?? (created.has(name) ? 0 : Number.POSITIVE_INFINITY);
  return bytes;
}

const exceeds = (bytes: number, limit: number | null): boolean => limit !== null && bytes > limit;

/** What does not fit, in words; empty when all does. */
export function findings(projected: { auditBytes: number; oplogBytes: number }, limits: Limits): string[] {
  const { auditBytes, oplogBytes } = projected;
  return [
    ...(exceeds(auditBytes, limits.freeBytes)
      ? [`the audit takes about ${formatBytes(auditBytes)}, and ${formatBytes(limits.freeBytes ?? 0)} are free`]
      : []),
    ...(exceeds(oplogBytes, limits.oplogBytes)
      ? [`the oplog takes about ${formatBytes(oplogBytes)}, and half of it is ${formatBytes(limits.oplogBytes ?? 0)}`]
      : []),
  ];
}

/**
 * Projects from a sample what a run has still to write. Where it can't come near the limits nothing is sampled.
 *
 * @param run what there is of it; null when it is new
 * @returns what is to be said of it, in words; null when there is nothing to be said
 * @throws GodwitError GODWIT_NO_ROOM, unless the configuration's `room` says otherwise
 */
export async function requireRoom(
  session: Session,
  loaded: LoadedMigration,
  run: RunDocument | null,
): Promise<string | null> {
  const { room } = session.config.settings;
  if (room === 'off') return null;
  const limits = await readLimits(session);
  const most = MOST * (await dataBytes(session, loaded));
  if (!exceeds(most, limits.freeBytes) && !exceeds(most, limits.oplogBytes)) return null;
  const steps = await analyse(session, loaded, { sample: SAMPLE });
  const whole = await scaleOf(
    session,
    loaded,
    sum(steps, ({ scanned }) => scanned),
  );
  const scale = whole * (run ? 1 - Math.min(1, run.counters.scanned / Math.max(1, run.total)) : 1);
  const projected = await estimateOf(session, steps, scale);
  const found = findings(projected, limits);
  const { auditBytes, oplogBytes, secondsLow, secondsHigh } = projected;
  const told = `about ${formatBytes(auditBytes)} of audit, ${formatBytes(oplogBytes)} of oplog, ${secondsLow} to ${secondsHigh} s`;
  if (found.length === 0) return told;
  if (room === 'warn') return `${told}; it may not fit: ${found.join('; ')}`;
  throw new GodwitError('GODWIT_NO_ROOM', `wanted room for what ${loaded.id} would write, found: ${found.join('; ')}`, {
    next: [
      'make room on the disk, or enlarge the oplog: db.adminCommand({ replSetResizeOplog: 1, size: MEGABYTES })',
      `godwit run ${loaded.id} --limit N   does a part of it`,
      `GODWIT_ROOM=warn godwit run ${loaded.id}   runs all the same`,
    ],
    details: { ...projected, freeBytes: limits.freeBytes, oplogLimitBytes: limits.oplogBytes },
  });
}
