/** Which migration is meant by an id: the date may be left out while that is clear, and so may the phase. */
import { type MigrationPhase, phaseId, splitPhaseId } from '../domain/expand-contract.js';
import { GodwitError, isGodwitError } from '../errors.js';
import { didYouMean } from '../kernel/nearest.js';
import { ambiguous, findMigration, findMigrations, withPhase } from '../migration/find.js';
import { type LoadedMigration, loadMigration, loadPhases } from '../migration/load.js';
import { findCurrentRun, findStandingRun, listCurrentRuns } from '../mongo/runs.js';
import type { Session } from './session.js';

/**
 * The migration's file, loaded. Of one in phases, where none is named: the last that stands, or the first.
 *
 * @throws GodwitError GODWIT_MIGRATION_UNKNOWN, GODWIT_MIGRATION_BROKEN
 */
export async function loadById({ config, state }: Session, id: string): Promise<LoadedMigration> {
  const file = await findMigration(config.migrationsFolder, id);
  if (file.phase) return loadMigration(file);
  const all = await loadPhases(file);
  let standing = all[0];
  if (all.length > 1) for (const loaded of all) if (await findStandingRun(state, loaded.id)) standing = loaded;
  return standing ?? loadMigration(file);
}

/**
 * The one that is to be run. Of a migration in phases, where none is named: the first that is not completed, or the last.
 *
 * @throws GodwitError GODWIT_MIGRATION_UNKNOWN, GODWIT_MIGRATION_BROKEN
 */
export async function loadDue(
  { config, state }: Session,
  id: string,
  phase: MigrationPhase | undefined,
): Promise<LoadedMigration> {
  const file = await findMigration(config.migrationsFolder, id);
  if (phase) return loadMigration(withPhase(file, phase));
  if (file.phase) return loadMigration(file);
  const all = await loadPhases(file);
  if (all.length > 1)
    for (const loaded of all) if ((await findCurrentRun(state, loaded.id))?.state !== 'completed') return loaded;
  return all.at(-1) ?? loadMigration(file);
}

/**
 * What a contract phase took away, the phases before it cannot be held against any more.
 *
 * @throws GodwitError GODWIT_USAGE
 */
export async function requireNotContracted({ state }: Session, { id, base, phase }: LoadedMigration): Promise<void> {
  if (phase === null || phase === 'contract') return;
  const contract = await findStandingRun(state, phaseId(base, 'contract'));
  if (!contract || contract.state === 'planned') return;
  throw new GodwitError(
    'GODWIT_USAGE',
    `wanted ${id} before its contract phase, found ${contract.migration} ${contract.state}: what that took away is not there to be compared`,
    { next: [`godwit verify ${contract.migration}`, `godwit rollback ${contract.migration}   brings it back`] },
  );
}

/** The whole id of a migration that has a file or a run. @throws GodwitError GODWIT_MIGRATION_UNKNOWN */
export async function resolveId(session: Session, id: string): Promise<string> {
  const files = new Set((await findMigrations(session.config.migrationsFolder)).map((file) => file.id));
  const ids = new Set([...files, ...(await listCurrentRuns(session.state)).map((run) => run.migration)]);
  const ending = [...ids].filter((known) => known.endsWith(`-${id}`));
  const whole = ids.has(id) ? id : ending.length === 1 ? ending[0] : undefined;
  if (whole === undefined && ending.length > 1) throw ambiguous(id, ending);
  if (whole !== undefined) return files.has(whole) ? phaseOf(session, whole) : whole;
  const named = splitPhaseId(id);
  if (named) return phaseId(splitPhaseId(await resolveId(session, named.migration))?.migration ?? id, named.phase);
  throw new GodwitError(
    'GODWIT_MIGRATION_UNKNOWN',
    `wanted the migration "${id}", found neither a file nor a run of it.${didYouMean(id, ids)}`,
    {
      next: ['godwit list'],
    },
  );
}

/** A file that cannot be loaded is shown as what it is. */
const phaseOf = (session: Session, id: string): Promise<string> =>
  loadById(session, id).then(
    (loaded) => loaded.id,
    (error: unknown) => {
      if (isGodwitError(error)) return id;
      throw error;
    },
  );
