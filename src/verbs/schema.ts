/** What the schema steps of a migration would meet, looked for before anything is touched. */
import type { Db, Document, Filter } from 'mongodb';
import type { RunDocument, SchemaRecord } from '../domain/run.js';
import { describeOperation, droppedFrom, type SchemaOperation } from '../domain/schema-operation.js';
import { GodwitError } from '../errors.js';
import type { LoadedMigration } from '../migration/load.js';
import { refusedFilter } from '../mongo/evaluate.js';
import { missingActions, readPrivileges } from '../mongo/privileges.js';
import { lookAt, refusalOf } from '../mongo/schema-look.js';
import { ShownId } from '../report/shown-id.js';
import type { Session } from './session.js';

/** A schema step as it would go now. */
export interface SchemaForecast {
  readonly kind: SchemaOperation['kind'];
  readonly collection: string;
  /** What it would do, in words. */
  readonly text: string;
  /** `later`: steps before it decide. `there`: the database is so already. */
  readonly verdict: 'would be done' | 'there' | 'later' | 'refused';
  /** Why it would be refused now; null where it would not. */
  readonly refusal: string | null;
  readonly warnings: readonly string[];
  /** Rights that it, or its way back, needs and the user lacks. */
  readonly missingRights: readonly string[];
  /** Documents that a finding is about: the first ones. */
  readonly first: readonly ShownId[];
}

/** What a step and its way back ask of the user: MongoDB manual, "Privilege Actions". */
const ACTIONS: Readonly<Record<SchemaOperation['kind'], readonly string[]>> = {
  createCollection: ['createCollection', 'dropCollection', 'renameCollectionSameDB'],
  renameCollection: ['renameCollectionSameDB'],
  createIndex: ['createIndex', 'dropIndex'],
  dropIndex: ['createIndex', 'dropIndex'],
  setValidator: ['collMod'],
};

/** Collections that the migration makes before its documents. */
export const createdBy = ({ schema }: LoadedMigration): ReadonlySet<string> =>
  new Set(
    schema.flatMap(({ step: { operation } }) => (operation.kind === 'createCollection' ? operation.collection : [])),
  );

/** What it will find depends on a schema step before it. */
const isDecidedLater = (earlier: readonly SchemaOperation[], { collection }: SchemaOperation): boolean =>
  earlier.some(
    (other) =>
      (other.kind === 'createCollection' && other.collection === collection) ||
      (other.kind === 'renameCollection' && other.to === collection),
  );

/** Validators and partial filters are expressions of the server's. @throws GodwitError GODWIT_MIGRATION_BROKEN */
async function requireFilters(db: Db, operation: SchemaOperation): Promise<void> {
  const found: unknown =
    operation.kind === 'setValidator'
      ? operation.validator
      : operation.kind === 'createCollection'
        ? operation.options['validator']
        : operation.kind === 'createIndex'
          ? operation.options['partialFilterExpression']
          : undefined;
  const refusal = found === undefined ? null : await refusedFilter(db, found as Filter<Document>);
  if (refusal === null) return;
  throw new GodwitError(
    'GODWIT_MIGRATION_BROKEN',
    `wanted an expression that the server understands, to ${describeOperation(operation)}, found: ${refusal}`,
    { next: ['mend the step, and look again with a dry run'] },
  );
}

/**
 * Reads only.
 *
 * @param records how far the migration's current run is, where there is one: what it has done is not foreseen again
 * @throws GodwitError GODWIT_MIGRATION_BROKEN for a validator or a filter that the server does not understand
 */
export async function foresee(
  { client, db }: Session,
  { schema }: LoadedMigration,
  records: readonly SchemaRecord[] = [],
): Promise<SchemaForecast[]> {
  if (schema.length === 0) return [];
  const privileges = await readPrivileges(client);
  const forecasts: SchemaForecast[] = [];
  for (const [index, { at, step }] of schema.entries()) {
    const { operation } = step;
    const { kind, collection } = operation;
    const missingRights = privileges ? missingActions(privileges, db.databaseName, collection, ACTIONS[kind]) : [];
    await requireFilters(db, operation);
    const told = { kind, collection, text: describeOperation(operation), missingRights };
    const isDone = ['done', 'there'].includes(records[index]?.state ?? '');
    const earlier = schema.slice(0, index).map((placed) => placed.step.operation);
    if (isDone || isDecidedLater(earlier, operation)) {
      forecasts.push({ ...told, verdict: isDone ? 'there' : 'later', refusal: null, warnings: [], first: [] });
      continue;
    }
    const outlook = await lookAt(db, operation, droppedFrom(collection, earlier));
    const mayBeMended = at > 0 && outlook.isOfDocuments;
    const refusal = outlook.refusal === null ? null : refusalOf(operation, outlook);
    const now = mayBeMended && refusal !== null ? [`as the documents are now: ${refusal}`] : [];
    forecasts.push({
      ...told,
      verdict: outlook.isThere ? 'there' : mayBeMended ? 'later' : refusal === null ? 'would be done' : 'refused',
      refusal: mayBeMended ? null : refusal,
      warnings: [...now, ...outlook.warnings],
      first: outlook.first.map((id) => new ShownId(id)),
    });
  }
  return forecasts;
}

/** True for a step for which a run would be refused. */
export const isRefused = ({ refusal, missingRights }: SchemaForecast): boolean =>
  refusal !== null || missingRights.length > 0;

/** Refuses a run whose schema steps could not be done. @throws GodwitError GODWIT_TARGET, GODWIT_FORBIDDEN */
export async function requireSchema(session: Session, loaded: LoadedMigration): Promise<void> {
  for (const { refusal, missingRights, text, collection } of await foresee(session, loaded)) {
    const again = `godwit run ${loaded.id} --dry-run   looks again`;
    if (refusal !== null)
      throw new GodwitError('GODWIT_TARGET', refusal, { next: [`mend it in ${collection}, or the step`, again] });
    if (missingRights.length > 0)
      throw new GodwitError(
        'GODWIT_FORBIDDEN',
        `wanted the rights to ${text} and to take that back, found these missing: ${missingRights.join(', ')}`,
        { next: ['grant them (the role dbAdmin has all of them), or ask who may', again] },
      );
  }
}

/** A schema step of a run, and how far it is. */
export type SchemaView = Pick<SchemaRecord, 'kind' | 'collection' | 'text' | 'state' | 'left'>;

/** Those of a run, in their order. */
export const schemaViews = ({ schema = [] }: Pick<RunDocument, 'schema'>): SchemaView[] =>
  schema.map(({ kind, collection, text, state, left }) => ({ kind, collection, text, state, left }));
