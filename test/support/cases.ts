/** Tables of cases whose processes run side by side before the tests, so that each test only looks at its own. */
import { beforeAll } from 'vitest';

/** Processes at a time: a command is idle for half of its time, and a second test file runs beside this one. */
const AT_ONCE = 3;
/** For all cases of a table together, in ms: a busy machine takes several times as long. */
const LONGEST_MS = 480_000;

/** Carries out `work` for every item, a few at a time. Results in the order of the items. */
export async function sideBySide<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  const take = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, take));
  return results;
}

/**
 * Carries out every case before the tests of the file.
 *
 * @returns gives a case's result, or throws what it threw
 */
export function carriedOut<C, R>(cases: readonly C[], work: (one: C) => Promise<R>): (one: C) => R {
  const outcomes = new Map<C, () => R>();
  beforeAll(async () => {
    await sideBySide(cases, async (one) => {
      const outcome = await work(one).then(
        (result) => () => result,
        (error: unknown) => () => {
          throw error;
        },
      );
      outcomes.set(one, outcome);
    });
  }, LONGEST_MS);
  return (one) => {
    const outcome = outcomes.get(one);
    if (!outcome) throw new Error('wanted a case of the table');
    return outcome();
  };
}
