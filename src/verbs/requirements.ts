/** What a migration needs of the database before anything is looked at or written. */
import type { Db } from 'mongodb';
import { isMergeOf } from '../domain/merge-step.js';
import type { DocumentStep, StepLookup } from '../domain/migration.js';
import type { PipelineStep } from '../domain/pipeline-step.js';
import { collectionsOf } from '../domain/schema-operation.js';
import { partsOf, readBy } from '../domain/series-step.js';
import { GodwitError } from '../errors.js';
import type { LoadedMigration } from '../migration/load.js';
import { refusedFilter, refusedPipeline } from '../mongo/evaluate.js';
import { listCurrentRuns } from '../mongo/runs.js';
import { isOwn } from '../mongo/state.js';
import { requireReadable, requireTarget, requireTargetOrNew } from '../mongo/target.js';
import { createdBy } from './schema.js';
import type { Session } from './session.js';

/** Godwit's own collections are nobody's target. @throws GodwitError GODWIT_TARGET */
export function requireForeignTargets(session: Session, loaded: LoadedMigration): void {
  const { db, state } = session;
  const names = [
    ...loaded.units.flatMap((unit) => [unit.collection, ...readBy(unit)]),
    ...loaded.schema.flatMap(({ step }) => collectionsOf(step.operation)),
  ];
  const own = names.find((name) => isOwn(state, db.databaseName, name));
  if (own === undefined) return;
  throw new GodwitError(
    'GODWIT_TARGET',
    `wanted a collection of the application's, found that ${own} is Godwit's own`,
    {
      next: ['check `collection` in the migration', "or name Godwit's collections otherwise: state: { prefix: '…' }"],
    },
  );
}

/**
 * What the steps need of the server, whatever documents there are: their collections can be migrated, it understands the
 * pipelines, and what is looked up is there. The same for a dry run and a run.
 *
 * @throws GodwitError GODWIT_MIGRATION_BROKEN, GODWIT_TARGET
 */
export async function requireSteps(session: Session, loaded: LoadedMigration): Promise<void> {
  const { db } = session;
  const { id, units } = loaded;
  const created = createdBy(loaded);
  await requireMerged(session, loaded);
  for (const { collection } of units) await requireTargetOrNew(db, collection, created);
  for (const unit of units.filter(({ kind }) => kind === 'series'))
    for (const step of partsOf(unit)) await requireFilter(db, id, step);
  for (const step of units.flatMap(partsOf)) {
    if (step.kind === 'pipeline') await requirePipeline(db, id, step);
    if (step.kind === 'merge') for (const from of readBy(step)) await requireTarget(db, from);
    const lookedUp = new Set(Object.values<StepLookup>(step.lookup).map(({ from }) => from));
    for (const from of lookedUp) if (!created.has(from)) await requireReadable(db, from);
  }
}

/** What was merged into what must be known: by an earlier step, or by a run that is complete. @throws GODWIT_NOT_RUN */
async function requireMerged({ state }: Session, { id, units }: LoadedMigration): Promise<void> {
  const lookups = units.flatMap((unit) => Object.values<StepLookup>(unit.lookup));
  const wanted = lookups.flatMap(({ from: into, merged: from }) => (from === undefined ? [] : [{ from, into }]));
  if (wanted.length === 0) return;
  const runs = (await listCurrentRuns(state)).filter((run) => run.state === 'completed');
  const known = [...units, ...runs.flatMap((run) => run.steps.map((step) => ({ sources: [], ...step })))];
  const missing = wanted.find((collections) => !known.some((step) => isMergeOf(step, collections)));
  if (!missing) return;
  throw new GodwitError(
    'GODWIT_NOT_RUN',
    `wanted a merge of ${missing.from} into ${missing.into} before the references of ${id}, found none that is complete`,
    {
      next: [
        'godwit list   shows what has been run',
        'put the merge before them, or name its migration in `dependsOn`',
      ],
    },
  );
}

/** Between two steps the server is asked which documents the second chooses: not every filter can be asked like that. */
async function requireFilter(
  db: Db,
  id: string,
  { collection, filter }: Pick<DocumentStep, 'collection' | 'filter'>,
): Promise<void> {
  const refusal = filter ? await refusedFilter(db, filter) : null;
  if (refusal === null) return;
  throw new GodwitError(
    'GODWIT_MIGRATION_BROKEN',
    `wanted a filter that can choose among the results of other steps of ${collection}, found: ${refusal}`,
    { next: ['put the step into a migration of its own', `godwit run ${id} --dry-run   once it is mended`] },
  );
}

async function requirePipeline(db: Db, id: string, { collection, update }: PipelineStep): Promise<void> {
  const { uuid } = await requireTarget(db, collection);
  const refusal = await refusedPipeline({ db, collection, uuid }, update);
  if (refusal !== null)
    throw new GodwitError(
      'GODWIT_MIGRATION_BROKEN',
      `wanted a pipeline that the server understands for ${collection}, found: ${refusal}`,
      { next: [`godwit run ${id} --dry-run   once it is mended`] },
    );
}
