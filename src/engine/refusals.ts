/** Why a run does not go on. */
import type { RunDocument } from '../domain/run.js';
import { GodwitError } from '../errors.js';

/** A run whose rollback has begun, or is done, does not go forwards. */
export const rollbackUnderWay = ({ migration, state }: RunDocument): GodwitError =>
  new GodwitError(
    'GODWIT_USAGE',
    `wanted to go forwards with ${migration}, found its rollback ${state === 'rolled-back' ? 'done' : `under way (${state})`}`,
    { next: [state === 'rolled-back' ? `godwit run ${migration}` : `godwit rollback ${migration}   finishes it`] },
  );
