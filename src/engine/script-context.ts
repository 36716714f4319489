/** What a script is given, in a run and in a look ahead: its helpers, one after the other. */

import type { ObjectId } from 'bson';
import { broken } from '../domain/author-checks.js';
import type { ReadOnlyDb } from '../domain/migration.js';
import { insertStep, removeStep, replaceStep, updateStep } from '../domain/script-helpers.js';
import type { HelperStep, ScriptContext, ScriptResult, ScriptStep } from '../domain/script-step.js';
import { GodwitError, isGodwitError } from '../errors.js';
import { sha256 } from '../kernel/raw-bson.js';
import { objectIdFrom, toBytes } from '../kernel/values.js';
import { translateServerError } from '../mongo/server-errors.js';
import type { Locate } from './apply-transform.js';
import { storedGiven } from './given.js';

/** Carries a helper's step out, or looks what it would do. */
export type Helper = (step: HelperStep) => Promise<ScriptResult>;

type InTurn = (collection: string, stepOf: () => HelperStep) => Promise<ScriptResult>;

/** Where a script is called. */
export interface ScriptPlace {
  readonly db: ReadOnlyDb;
  /** The migration: seeds of different ones make different `_id`s. */
  readonly scope: string;
}

/** Bytes of an ObjectId. */
const ID_BYTES = 12;

/** Of the bytes of the seeds: the beginning of their SHA-256. */
function idFrom(scope: string, seed: readonly unknown[]): ObjectId {
  if (seed.length === 0) throw broken('a value at least in ctx.id()', 'none');
  return objectIdFrom(
    sha256(
      toBytes(
        new Map<string, unknown>([
          ['scope', scope],
          ['seed', seed],
        ]),
      ),
    ).subarray(0, ID_BYTES),
  );
}

const contextOf = ({ db, scope }: ScriptPlace, inTurn: InTurn): ScriptContext => ({
  db,
  id: (...seed) => idFrom(scope, seed),
  update: (collection, filter, change) => inTurn(collection, () => updateStep(collection, filter, change)),
  replace: (collection, document) => inTurn(collection, () => replaceStep(collection, document)),
  remove: (collection, filter) => inTurn(collection, () => removeStep(collection, filter)),
  insert: (collection, documents) =>
    inTurn(collection, () => {
      const stored = documents.map(storedGiven);
      const byKey = new Map(stored.map((document) => [document.key, document]));
      if (byKey.size < stored.length) throw broken('each _id once in ctx.insert()', 'one twice');
      return insertStep(collection, byKey);
    }),
});

/** Calls `up`; what its author has not waited for, is waited for. @throws what `up` throws, or a helper that failed */
export async function callScript(script: ScriptStep, place: ScriptPlace, helper: Helper): Promise<void> {
  const { collections } = script;
  let turn: Promise<unknown> = Promise.resolve();
  let isOver = false;
  let failed: { readonly error: unknown } | undefined;
  const inTurn: InTurn = (collection, stepOf) => {
    const work = turn.then(() => {
      if (isOver) throw broken('the helpers of a script to be called before up() has returned', 'a call behind it');
      if (!collections.includes(collection))
        throw broken(`one of script().collections (${collections.join(', ')}) to be written to`, `"${collection}"`);
      return helper(stepOf());
    });
    turn = work.catch((error: unknown) => {
      failed ??= { error };
    });
    return work;
  };
  try {
    await script.up(contextOf(place, inTurn));
  } finally {
    // What is begun there may begin more.
    for (let last: Promise<unknown> | undefined; last !== turn; ) {
      last = turn;
      await last;
    }
    isOver = true;
  }
  // Nobody may have waited for it; and there is nothing to catch it for.
  if (failed) throw failed.error;
}

/** What was thrown by a script, in words without values: it may quote those of any document. */
export function scriptError(thrown: unknown, locate: Locate): GodwitError {
  if (isGodwitError(thrown)) return thrown;
  const known = translateServerError(thrown);
  if (known.code !== 'GODWIT_UNEXPECTED') return known;
  const at = thrown instanceof Error ? locate(thrown) : undefined;
  const found = thrown instanceof Error ? thrown.name : 'something that is no error';
  return new GodwitError('GODWIT_SCRIPT', `wanted up() of the script to end, found that it threw ${found}`, {
    next: ['mend the script, and run it again: it begins anew, and meets what it has done'],
    cause: thrown,
    ...(at === undefined ? {} : { details: { at } }),
  });
}
