/** Migration files: found by name, in name order. The id is the file's name without its extension. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type MigrationPhase, phaseId, splitPhaseId } from '../domain/expand-contract.js';
import { GodwitError } from '../errors.js';
import { didYouMean } from '../kernel/nearest.js';

const MIGRATION_FILE = /^([A-Za-z0-9][\w.-]*)\.(ts|mts|cts|js|mjs|cjs)$/;
const NOT_A_MIGRATION = /(\.d\.[mc]?ts|\.(test|spec)\.[mc]?[jt]s)$/;

export interface MigrationFile {
  readonly id: string;
  /** Absolute. */
  readonly path: string;
  /** Of a migration in phases: the one that the id names. */
  readonly phase?: MigrationPhase;
}

/**
 * The migration files of a folder, by ascending id. A folder that is not there holds none.
 *
 * @throws GodwitError GODWIT_MIGRATION_DUPLICATE when two files share an id
 */
export async function findMigrations(folder: string): Promise<MigrationFile[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const files: MigrationFile[] = [];
  for (const name of names.sort()) {
    const id = NOT_A_MIGRATION.test(name) ? undefined : MIGRATION_FILE.exec(name)?.[1];
    if (id !== undefined) files.push({ id, path: join(folder, name) });
  }
  const ids = files.map((file) => file.id);
  const isTaken = (id: string): boolean => ids.includes(splitPhaseId(id)?.migration ?? '');
  const twice = files.find(({ id }, index) => ids.indexOf(id) !== index || isTaken(id));
  if (twice)
    throw new GodwitError(
      'GODWIT_MIGRATION_DUPLICATE',
      `wanted one file for each migration, found two called "${twice.id}" in ${folder}`,
      {
        next: ['rename or remove one of them'],
      },
    );
  return files;
}

/** One phase of the migration in a file. */
export const withPhase = ({ id, path }: MigrationFile, phase: MigrationPhase): MigrationFile => ({
  ...{ id: phaseId(id, phase), path, phase },
});

/** Several migrations whose ids end alike. */
export const ambiguous = (id: string, ids: readonly string[]): GodwitError =>
  new GodwitError('GODWIT_MIGRATION_UNKNOWN', `"${id}" may be ${ids.length} migrations: ${ids.join(', ')}`, {
    next: ids.slice(0, 3).map((one) => `godwit status ${one}`),
  });

/**
 * The file of one migration; the id may be given without its date while that is clear (`unify-contacts`), and
 * with the name of a phase behind it (`unify-contacts.expand`).
 *
 * @throws GodwitError GODWIT_MIGRATION_UNKNOWN
 */
export async function findMigration(folder: string, id: string): Promise<MigrationFile> {
  const files = await findMigrations(folder);
  const exact = files.find((file) => file.id === id);
  if (exact) return exact;
  const ending = files.filter((file) => file.id.endsWith(`-${id}`));
  if (ending.length === 1 && ending[0]) return ending[0];
  if (ending.length > 1)
    throw ambiguous(
      id,
      ending.map((file) => file.id),
    );
  const named = splitPhaseId(id);
  if (named) return withPhase(await findMigration(folder, named.migration), named.phase);
  const hint =
    files.length === 0
      ? ' The folder holds no migration.'
      : didYouMean(
          id,
          files.map((file) => file.id),
        );
  throw new GodwitError(
    'GODWIT_MIGRATION_UNKNOWN',
    `wanted the migration "${id}", found no file of that name in ${folder}.${hint}`,
    {
      next: ['godwit list', 'godwit create NAME   starts a new one'],
    },
  );
}
