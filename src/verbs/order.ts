/** In which order migrations go: each after those that it depends on, otherwise by their ids; and back the other way. */
import { writtenOf } from '../domain/chunk.js';
import { phaseId, splitPhaseId } from '../domain/expand-contract.js';
import type { RunDocument } from '../domain/run.js';
import { GodwitError } from '../errors.js';
import { didYouMean } from '../kernel/nearest.js';
import { findMigrations } from '../migration/find.js';
import { type LoadedMigration, loadPhases } from '../migration/load.js';
import { countFailures } from '../mongo/failures.js';
import { findCurrentRun, listCurrentRuns, listDependants } from '../mongo/runs.js';
import type { Session } from './session.js';

const dependenciesOf = ({ migration }: LoadedMigration): readonly string[] => migration.dependsOn ?? [];

/** Every migration of the project, loaded. @throws GodwitError GODWIT_MIGRATION_BROKEN, GODWIT_MIGRATION_DUPLICATE */
export async function loadAll({ config }: Session): Promise<LoadedMigration[]> {
  const all: LoadedMigration[] = [];
  for (const file of await findMigrations(config.migrationsFolder)) all.push(...(await loadPhases(file)));
  return all;
}

function unknown(id: string, dependency: string, known: readonly string[]): GodwitError {
  return new GodwitError(
    'GODWIT_DEPENDENCY',
    `wanted the migration "${dependency}", on which ${id} depends, found none of that name.${didYouMean(dependency, known)}`,
    { next: [`mend \`dependsOn\` in ${id}: whole ids, with their dates`, 'godwit list'] },
  );
}

const circle = (path: readonly string[]): GodwitError =>
  new GodwitError('GODWIT_DEPENDENCY', `wanted an order of the migrations, found a circle: ${path.join(' -> ')}`, {
    next: ['take one of them out of `dependsOn`'],
  });

/**
 * @param all by ascending id
 * @throws GodwitError GODWIT_DEPENDENCY for an unknown dependency, or a circle
 */
export function inOrder(all: readonly LoadedMigration[]): LoadedMigration[] {
  const byId = new Map(all.map((loaded) => [loaded.id, loaded]));
  const done = new Set<LoadedMigration>();
  const visit = (loaded: LoadedMigration, path: readonly string[]): void => {
    if (done.has(loaded)) return;
    if (path.includes(loaded.id)) throw circle([...path.slice(path.indexOf(loaded.id)), loaded.id]);
    for (const id of dependenciesOf(loaded)) {
      const before = byId.get(id) ?? byId.get(phaseId(id, 'migrate'));
      if (!before) throw unknown(loaded.id, id, [...byId.keys()]);
      visit(before, [...path, loaded.id]);
    }
    done.add(loaded);
  };
  for (const loaded of all) visit(loaded, []);
  return [...done];
}

/** What is missing of a migration that must come first: null where it is completed, all of it. */
async function missingOf(
  { state }: Session,
  id: string,
): Promise<{ readonly found: string; readonly next: string } | null> {
  // Who depends on a migration in phases, depends on what it has migrated.
  const run = (await findCurrentRun(state, id)) ?? (await findCurrentRun(state, phaseId(id, 'migrate')));
  if (run?.state !== 'completed') return { found: run?.state ?? 'not run', next: `godwit run ${id}` };
  const failed = await countFailures(state, run._id);
  if (failed === 0) return null;
  const documents = failed === 1 ? '1 document' : `${failed} documents`;
  return { found: `completed with ${documents} in quarantine`, next: `godwit retry ${id}` };
}

async function requireKnown({ config }: Session, loaded: LoadedMigration, id: string): Promise<void> {
  const known = (await findMigrations(config.migrationsFolder)).map((file) => file.id);
  if (!known.includes(splitPhaseId(id)?.migration ?? id)) throw unknown(loaded.id, id, known);
}

/**
 * Every migration that must come first is completed, with every document.
 *
 * @throws GodwitError GODWIT_DEPENDENCY
 */
export async function requireDependencies(session: Session, loaded: LoadedMigration): Promise<void> {
  for (const id of dependenciesOf(loaded)) {
    const missing = await missingOf(session, id);
    if (!missing) continue;
    if (missing.found === 'not run') await requireKnown(session, loaded, id);
    throw new GodwitError(
      'GODWIT_DEPENDENCY',
      `wanted ${id} completed before ${loaded.id}, found it ${missing.found}`,
      {
        next: [missing.next, 'godwit run --all   runs what is pending, in its order'],
      },
    );
  }
}

/** The same for a dry run, which may be made before. @throws GodwitError GODWIT_DEPENDENCY for one that nobody knows */
export async function dependencyNotes(session: Session, loaded: LoadedMigration): Promise<string[]> {
  const notes: string[] = [];
  for (const id of dependenciesOf(loaded)) {
    const missing = await missingOf(session, id);
    if (missing?.found === 'not run') await requireKnown(session, loaded, id);
    if (missing) notes.push(`a run would be refused now: it depends on ${id}, which is ${missing.found}`);
  }
  return notes;
}

/** Nothing that was run builds on what is to be taken back. @throws GodwitError GODWIT_DEPENDENCY */
export async function requireNoDependants({ state }: Session, { migration }: RunDocument): Promise<void> {
  const [last] = await listDependants(state, migration);
  if (!last) return;
  throw new GodwitError(
    'GODWIT_DEPENDENCY',
    `wanted nothing that builds on ${migration} before it is rolled back, found ${last.migration} ${last.state}`,
    { next: [`godwit rollback ${last.migration}   first`, 'godwit list'] },
  );
}

/** Runs that went forwards over collections of this one, later: the newest first. */
export async function laterOn({ state }: Session, run: RunDocument): Promise<readonly RunDocument[]> {
  const own = new Set(run.steps.map(({ uuid }) => uuid));
  // Phases of one migration depend on each other: that is looked at already.
  const baseOf = (id: string): string => splitPhaseId(id)?.migration ?? id;
  const isLater = ({ migration, steps, direction, counters, startedAt }: RunDocument): boolean =>
    baseOf(migration) !== baseOf(run.migration) &&
    direction === 'up' &&
    startedAt.getTime() > run.startedAt.getTime() &&
    writtenOf(counters) > 0 &&
    steps.some(({ uuid }) => own.has(uuid));
  return (await listCurrentRuns(state)).filter(isLater).reverse();
}

/** What a later run has written would be taken for the application's. @throws GodwitError GODWIT_DEPENDENCY */
export async function requireNoLater(session: Session, run: RunDocument): Promise<void> {
  const [last] = await laterOn(session, run);
  if (!last) return;
  const collections = new Set(run.steps.map(({ collection }) => collection));
  const shared = last.steps.flatMap(({ collection }) => (collections.has(collection) ? collection : []));
  throw new GodwitError(
    'GODWIT_DEPENDENCY',
    `wanted no later run on the collections of ${run.migration} before it is rolled back, found ${last.migration} ${last.state} on ${[...new Set(shared)].join(', ')}`,
    {
      next: [
        `godwit rollback ${last.migration}   first`,
        `godwit rollback ${run.migration} --dry-run   looks at it all the same`,
      ],
    },
  );
}
