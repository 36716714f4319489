/**
 * What must hold before a `contract` phase begins, since what it takes away is missed by whoever still needs it: the
 * migration verifies, and somebody answers for what cannot be looked at.
 */

import { GATES, type Gate, isGate, type Waiver } from '../domain/evidence.js';
import { phaseId, splitPhaseId } from '../domain/expand-contract.js';
import { whoami } from '../engine/owner.js';
import { GodwitError } from '../errors.js';
import { didYouMean } from '../kernel/nearest.js';
import { parseDuration } from '../kernel/units.js';
import { findMigration, findMigrations } from '../migration/find.js';
import { type LoadedMigration, loadMigration, loadPhases } from '../migration/load.js';
import { listWaivers, storeWaiver } from '../mongo/evidence.js';
import { findCurrentRun, findStandingRun } from '../mongo/runs.js';
import { readServerTime } from '../mongo/server-facts.js';
import { recordPlace } from './place.js';
import type { Session } from './session.js';
import { verify } from './verify.js';

/** Gates that nobody has answered for, in their order. */
async function openGates({ client, state }: Session, loaded: LoadedMigration): Promise<Gate[]> {
  const about = { migration: loaded.id, checksum: loaded.checksum };
  const waived = await listWaivers(state, about, await readServerTime(client));
  return (Object.keys(GATES) as Gate[]).filter((gate) => !waived.some((one) => one.gate === gate));
}

/** A phase that has begun goes on: what it needed was there. */
const hasBegun = async ({ state }: Session, { id }: LoadedMigration): Promise<boolean> =>
  (await findStandingRun(state, id)) !== null;

/** @throws GodwitError GODWIT_CONTRACT */
export async function requireContract(
  session: Session,
  loaded: LoadedMigration,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (await hasBegun(session, loaded)) return;
  const { id, base } = loaded;
  const gates = await openGates(session, loaded);
  if (gates.length > 0)
    throw new GodwitError(
      'GODWIT_CONTRACT',
      `wanted somebody to answer for what Godwit cannot look at, before ${id} takes anything away, found it open: ${gates.map((gate) => `${gate} (${GATES[gate]})`).join('; ')}`,
      { next: gates.map((gate) => `godwit waive ${gate} ${base} --because "…"`), details: { gates } },
    );
  const migrated = phaseId(base, 'migrate');
  const { ok, checks } = await verify(session, migrated, { signal });
  if (ok) return;
  const failing = checks.filter((check) => !check.ok).map(({ name }) => name);
  throw new GodwitError(
    'GODWIT_CONTRACT',
    `wanted ${migrated} verified before ${id} takes anything away, found that it does not hold: ${failing.join('; ')}`,
    { next: [`godwit verify ${migrated}`], details: { checks: failing } },
  );
}

/** The same for a look ahead, which refuses nothing. */
export async function contractWarnings(session: Session, loaded: LoadedMigration): Promise<string[]> {
  if (loaded.phase !== 'contract' || (await hasBegun(session, loaded))) return [];
  return (await openGates(session, loaded)).map((gate) => `not waived yet: ${gate} (${GATES[gate]})`);
}

export interface WaiveOptions {
  /** The migration; may be left out while one is waiting for its contract. */
  readonly id?: string | undefined;
  readonly because: string;
  /** A date, or a duration from now on. Default: for as long as the file is the same. */
  readonly until?: string | undefined;
}

/** `evidence` is what stays on record. */
export interface WaiveResult {
  readonly evidence: Waiver;
}

/** The contract phases of the project that are not completed. */
async function waiting({ config, state }: Session): Promise<LoadedMigration[]> {
  const found: LoadedMigration[] = [];
  for (const file of await findMigrations(config.migrationsFolder))
    for (const loaded of await loadPhases(file))
      if (loaded.phase === 'contract' && (await findCurrentRun(state, loaded.id))?.state !== 'completed')
        found.push(loaded);
  return found;
}

async function contractOf(session: Session, id: string | undefined): Promise<LoadedMigration> {
  if (id !== undefined) {
    const base = splitPhaseId(id)?.migration ?? id;
    return loadMigration(await findMigration(session.config.migrationsFolder, phaseId(base, 'contract')));
  }
  const found = await waiting(session);
  if (found.length === 1 && found[0]) return found[0];
  const which = found.length === 0 ? 'none' : found.map(({ base }) => base).join(', ');
  throw new GodwitError('GODWIT_USAGE', `wanted one migration that waits for its contract phase, found ${which}`, {
    next: ['godwit waive GATE ID --because "…"', 'godwit list'],
  });
}

function untilOf(text: string | undefined, now: Date): Date | null {
  if (text === undefined) return null;
  const ms = parseDuration(text);
  const until = ms === undefined ? new Date(text) : new Date(now.getTime() + ms);
  if (until.getTime() > now.getTime()) return until;
  throw new GodwitError(
    'GODWIT_USAGE',
    `wanted a moment to come in --until, found ${Number.isNaN(until.getTime()) ? `"${text}"` : until.toISOString()}`,
    { next: ['--until 7d', '--until 2026-12-01T05:00Z'] },
  );
}

/**
 * Answers for a gate: who, when, why, and for which file.
 *
 * @throws GodwitError GODWIT_USAGE for an unknown gate, an empty reason, a moment that is past; GODWIT_MIGRATION_UNKNOWN
 */
export async function waive(session: Session, gate: string, options: WaiveOptions): Promise<WaiveResult> {
  if (!isGate(gate))
    throw new GodwitError(
      'GODWIT_USAGE',
      `wanted one of ${Object.keys(GATES).join(', ')}, found "${gate}".${didYouMean(gate, Object.keys(GATES))}`,
    );
  if (options.because.trim() === '')
    throw new GodwitError('GODWIT_USAGE', 'wanted a reason in --because, found an empty one');
  const at = await readServerTime(session.client);
  const until = untilOf(options.until, at);
  const { id: migration, checksum } = await contractOf(session, options.id);
  const { because } = options;
  await recordPlace(session);
  return {
    evidence: await storeWaiver(session.state, { gate, migration, checksum, by: whoami(), because, at, until }),
  };
}
