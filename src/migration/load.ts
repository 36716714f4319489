/** Loads a migration file and sums it up. `godwit` in an import means this very package, installed or not. */
import { dirname } from 'node:path';
import * as authoring from '../domain/authoring.js';
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
  readonly id: string;
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

/**
 * Loads one migration.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN, naming the file
 */
export async function loadMigration(file: MigrationFile): Promise<LoadedMigration> {
  const found = await importDefault(file);
  if (!isMigration(found)) {
    const what =
      found === undefined ? 'found no default export' : 'found a default export that defineMigration() did not make';
    throw broken(file, what);
  }
  const decided = await withDecisions(file.path, unitsOf(found.steps)).catch((error: unknown) => {
    throw isGodwitError(error) ? broken(file, error.message, error) : error;
  });
  // What the people have decided is part of the migration.
  const { checksum, files } = await checksumOf(file.path, decided.files);
  const steps = withLegacy(decided.units, schemaStepsOf(found.steps));
  return { id: file.id, path: file.path, migration: found, ...steps, checksum, files };
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
