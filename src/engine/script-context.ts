/** What a script is given, in a run and in a look ahead: its helpers, one after the other. */

import { broken } from '../domain/author-checks.js';
import type { ReadOnlyDb } from '../domain/migration.js';
import { insertStep, removeStep, replaceStep, updateStep } from '../domain/script-helpers.js';
import type { HelperStep, ScriptContext, ScriptResult, ScriptStep } from '../domain/script-step.js';
import { GodwitError, isGodwitError } from '../errors.js';
import type { Locate } from './apply-transform.js';
import { storedGiven } from './given.js';

/** Carries a helper's step out, or looks what it would do. */
export type Helper = (step: HelperStep) => Promise<ScriptResult>;

export function scriptContext({ collections }: ScriptStep, db: ReadOnlyDb, helper: Helper): ScriptContext {
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = (collection: string, stepOf: () => HelperStep): Promise<ScriptResult> => {
    const work = turn.then(() => {
      if (!collections.includes(collection))
        throw broken(`one of script().collections (${collections.join(', ')}) to be written to`, `"${collection}"`);
      return helper(stepOf());
    });
    turn = work.catch(() => undefined);
    return work;
  };
  return {
    db,
    update: (collection, filter, change) => inTurn(collection, () => updateStep(collection, filter, change)),
    replace: (collection, document) => inTurn(collection, () => replaceStep(collection, document)),
    remove: (collection, filter) => inTurn(collection, () => removeStep(collection, filter)),
    insert: (collection, documents) =>
      inTurn(collection, () => {
        const stored = documents.map(storedGiven);
        return insertStep(collection, new Map(stored.map((document) => [document.key, document])));
      }),
  };
}

/** What was thrown by a script, in words without values: it may quote those of any document. */
export function scriptError(thrown: unknown, locate: Locate): GodwitError {
  if (isGodwitError(thrown)) return thrown;
  const at = thrown instanceof Error ? locate(thrown) : undefined;
  const found = thrown instanceof Error ? thrown.name : 'something that is no error';
  return new GodwitError('GODWIT_SCRIPT', `wanted up() of the script to end, found that it threw ${found}`, {
    next: ['mend the script, and run it again: it begins anew, and meets what it has done'],
    cause: thrown,
    ...(at === undefined ? {} : { details: { at } }),
  });
}
