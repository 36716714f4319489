/** Loads a migration file and sums it up. `godwit` in an import means this very package, installed or not. */
import { dirname } from 'node:path';
import * as authoring from '../domain/authoring.js';
import { type MigrationPhase, phaseId, phasesDeclared, splitPhaseId, stepsOfPhase } from '../domain/expand-contract.js';
import { withLegacy } from '../domain/legacy-step.js';
import { isMigration, type Migration } from '../domain/migration.js';
import type { PlacedSchemaStep } from '../domain/schema-operation.js';
import { schemaStepsOf, type Unit, unitsOf } from '../domain/series-step.js';
import { GodwitError, isGodwitError } from '../errors.js';
import { loadDefault } from '../kernel/load-module.js';
import { checksumOf, type SourceFile } from './checksum.js';
import { withDecisions } from './decisions.js';
import type { MigrationFile } from './find.js';

export interface LoadedMigration {
  /** Of a phase: the migration's with its name behind it. */
  readonly id: string;
  /** The file's name. */
  readonly base: string;
  /** Null for one that is run as a whole. */
  readonly phase: MigrationPhase | null;
  /** Those that the file declares, in their order; none for one that is run as a whole. */
  readonly phases: readonly MigrationPhase[];
  readonly path: string;
  readonly migration: Migration;
  /** Its steps as the engine takes them. */
  readonly units: readonly Unit[];
  /** Those that change collections and indexes, with their places between the units. */
  readonly schema: readonly PlacedSchemaStep[];
  readonly checksum: string;
  readonly files: readonly SourceFile[];
}

function broken(file: MigrationFile, found: string, cause?: unknown): GodwitError {
  return new GodwitError('GODWIT_MIGRATION_BROKEN', `wanted a migration in ${file.path}, ${found}`, {
    next: ['mend the file; `godwit create NAME` shows what one looks like'],
    details: { migration: file.id, file: file.path },
    cause,
  });
}

/** First line of an error, and its place in the file where it has one. */
function describe(error: unknown, path: string): string {
  if (!(error instanceof Error)) return String(error);
  const place = new RegExp(`${path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}:(\\d+:\\d+)`).exec(`${error.stack}`)?.[1];
  const line = error.message.split('\n')[0]?.replace(`${path}: `, '') ?? '';
  return `${error.name}: ${line}${place ? ` (line ${place})` : ''}`;
}

async function importDefault(file: MigrationFile): Promise<unknown> {
  try {
    return await loadDefault(file.path, { godwit: authoring });
  } catch (error) {
    if (isGodwitError(error)) throw broken(file, error.message, error);
    throw broken(file, `found that it cannot be loaded: ${describe(error, file.path)}`, error);
  }
}

/** What a phase is to the engine: a migration that depends on the one before it. Invariants are those of the new shape. */
function phaseOf(found: Migration, base: string, phases: readonly MigrationPhase[], at: number): Migration {
  const before = phases[at - 1];
  const { verify, ...rest } = found;
  const dependsOn = [...(found.dependsOn ?? []), ...(before ? [phaseId(base, before)] : [])];
  return { ...rest, dependsOn, ...(phases[at] === 'migrate' && verify ? { verify } : {}) };
}

/**
 * Loads a file: one migration, or one for each of its phases, in their order.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN, naming the file
 */
export async function loadPhases(file: MigrationFile): Promise<readonly LoadedMigration[]> {
  const found = await importDefault(file);
  if (!isMigration(found)) {
    const what =
      found === undefined ? 'found no default export' : 'found a default export that defineMigration() did not make';
    throw broken(file, what);
  }
  const base = file.phase ? (splitPhaseId(file.id)?.migration ?? file.id) : file.id;
  const phases = phasesDeclared(found);
  const all = phases.length === 0 ? [found.steps] : phases.map((phase) => stepsOfPhase(found, phase));
  const decided: Awaited<ReturnType<typeof withDecisions>>[] = [];
  for (const steps of all)
    decided.push(
      await withDecisions(file.path, unitsOf(steps)).catch((error: unknown) => {
        throw isGodwitError(error) ? broken(file, error.message, error) : error;
      }),
    );
  // What the people have decided is part of the migration.
  const sums = await checksumOf(
    file.path,
    decided.flatMap((one) => one.files),
  );
  return all.map((steps, at): LoadedMigration => {
    const phase = phases[at] ?? null;
    return {
      ...{ id: phase ? phaseId(base, phase) : base, base, phase, phases, path: file.path },
      migration: phase ? phaseOf(found, base, phases, at) : found,
      ...withLegacy(decided[at]?.units ?? [], schemaStepsOf(steps)),
      ...sums,
    };
  });
}

/**
 * Loads one migration, or the phase that `file` names; the first, where it names none.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN, naming the file; GODWIT_MIGRATION_UNKNOWN for a phase that it has not
 */
export async function loadMigration(
  file: Pick<MigrationFile, 'id' | 'path'> & { phase?: MigrationPhase | null },
): Promise<LoadedMigration> {
  const { id, path, phase } = file;
  const all = await loadPhases(phase ? { id, path, phase } : { id, path });
  const found = phase ? all.find((one) => one.phase === phase) : all[0];
  if (found) return found;
  const declared = all.flatMap((one) => one.phase ?? []);
  throw new GodwitError(
    'GODWIT_MIGRATION_UNKNOWN',
    `wanted the phase ${phase} in ${path}, found ${declared.length > 0 ? declared.join(', ') : 'a migration without phases'}`,
    { next: [`godwit list`] },
  );
}

/** Finds the frame of a stack that lies in the author's files: `file:line:column`. */
export function locateIn(loaded: LoadedMigration): (error: Error) => string | undefined {
  const root = dirname(loaded.path);
  return (error) => {
    for (const line of (error.stack ?? '').split('\n').slice(1)) {
      const frame = /\(?((?:file:\/\/)?(?:[A-Za-z]:)?[^():]+):(\d+):(\d+)\)?$/.exec(
        line.trim().replace(/^at (async )?/, ''),
      );
      const path = frame?.[1]?.replace(/^.*\s\(?/, '').replace(/^file:\/\//, '');
      if (path?.startsWith(root) && !path.includes('node_modules')) return `${path}:${frame?.[2]}:${frame?.[3]}`;
    }
    return undefined;
  };
}
