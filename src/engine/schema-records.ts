/** What a run knows of its schema steps: how far each is, what was there before it, and why one cannot be done. */
import { Binary, type Document } from 'bson';
import type { SchemaRecord } from '../domain/run.js';
import { describeOperation, type SchemaOperation } from '../domain/schema-operation.js';
import { GodwitError } from '../errors.js';
import { packed, unpacked } from '../mongo/schema.js';
import type { RunContext } from './run-context.js';
import type { RunFacts } from './with-lease.js';

/** What was there before a step that had nothing to do. */
export const NOTHING = new Binary(packed({}));

/** The plan of a migration's schema steps. */
export const newRecords = ({ loaded }: Pick<RunFacts, 'loaded'>): SchemaRecord[] =>
  loaded.schema.map(({ at, step: { operation } }) => ({
    at,
    kind: operation.kind,
    collection: operation.collection,
    text: describeOperation(operation),
    operation: new Binary(packed({ operation })),
    ...{ state: 'open', before: null, left: null },
  }));

/** What a schema step does, from the record of it; null in runs of older versions. */
export const operationOf = ({ operation }: SchemaRecord): SchemaOperation | null =>
  operation ? (unpacked(operation.buffer)['operation'] as SchemaOperation) : null;

/** What was there before a schema step. */
export const beforeOf = ({ before }: SchemaRecord): Document => (before ? unpacked(before.buffer) : {});

export const refusedStep = (operation: SchemaOperation, message: string, { run }: RunContext): GodwitError =>
  new GodwitError('GODWIT_SCHEMA', message, {
    next: [
      `mend what was found in ${operation.collection}`,
      `godwit run ${run.migration}        goes on from here`,
      `godwit rollback ${run.migration}   goes back`,
    ],
  });
