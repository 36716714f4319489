/**
 * A run whose migration's file is gone: on another branch, removed. What it was can be told from the state, and what it
 * changed be taken back from the audit; only its functions are not there.
 */

import { splitPhaseId } from '../domain/expand-contract.js';
import { defineMigration, transform } from '../domain/migration.js';
import type { PlannedStep, RunDocument } from '../domain/run.js';
import type { PlacedSchemaStep } from '../domain/schema-operation.js';
import type { Unit } from '../domain/series-step.js';
import { operationOf } from '../engine/schema-records.js';
import { GodwitError } from '../errors.js';
import { findMigrations } from '../migration/find.js';
import type { LoadedMigration } from '../migration/load.js';
import { findCurrentRun } from '../mongo/runs.js';
import { loadById, resolveId } from './by-id.js';
import type { Session } from './session.js';

const gone = (id: string): never => {
  throw new GodwitError('GODWIT_MIGRATION_UNKNOWN', `the file of ${id} is missing: its functions cannot be called`, {
    next: ['put the file back', `godwit rollback ${id}   needs none`],
  });
};

/** A stand-in with the same place in the plan: of a transform one that leaves every document as it is. */
function unitOf({ kind, collection, sources = [] }: PlannedStep, id: string): Unit {
  const plain = { collection, filter: undefined, lookup: {}, drops: [], down: undefined } as const;
  if (kind === 'merge')
    return { ...plain, kind, sources: sources.map((one) => ({ ...one, map: () => gone(id) })) } as unknown as Unit;
  if (kind === 'script' || kind === 'legacy' || kind === 'given') return { ...plain, kind } as unknown as Unit;
  return transform({ collection, all: true, up: (document) => document });
}

function schemaOf({ migration, schema = [] }: RunDocument): PlacedSchemaStep[] {
  return schema.map((record) => {
    const operation = operationOf(record);
    if (operation) return { at: record.at, step: { kind: 'schema', collection: record.collection, operation } };
    throw new GodwitError(
      'GODWIT_MIGRATION_UNKNOWN',
      `the file of ${migration} is missing, and its run is of a version that kept its schema steps there`,
      { next: ['put the file back: the commit is in `godwit status`'] },
    );
  });
}

/** What the state knows of a run's migration. */
function migrationOf(run: RunDocument): LoadedMigration {
  const { migration: id, description, checksum, files } = run;
  const named = splitPhaseId(id);
  const steps = [transform({ collection: 'none', all: true, up: () => gone(id) })];
  return {
    ...{ id, base: named?.migration ?? id, phase: named?.phase ?? null, phases: [], path: '' },
    migration: defineMigration({ description: description === '' ? id : description, steps }),
    units: run.steps.map((step) => unitOf(step, id)),
    schema: schemaOf(run),
    ...{ checksum, files },
  };
}

/** The migration, and whether it is known from its file or only from its run. */
export interface KnownMigration {
  readonly loaded: LoadedMigration;
  readonly hasFile: boolean;
}

/**
 * The migration by its id, from its file where there is one, else from its run.
 *
 * @throws GodwitError GODWIT_MIGRATION_UNKNOWN, GODWIT_MIGRATION_BROKEN
 */
export async function loadOrRecall(session: Session, id: string): Promise<KnownMigration> {
  const whole = await resolveId(session, id);
  const base = splitPhaseId(whole)?.migration ?? whole;
  const files = await findMigrations(session.config.migrationsFolder);
  if (files.some((file) => file.id === base || file.id === whole))
    return { loaded: await loadById(session, id), hasFile: true };
  const run = await findCurrentRun(session.state, whole);
  return run ? { loaded: migrationOf(run), hasFile: false } : { loaded: await loadById(session, id), hasFile: true };
}
