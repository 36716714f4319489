/**
 * Two tiers. `npm test` runs `*.test.ts`; `npm run test:all` also runs `*.long.test.ts`, and every case of the tables of
 * `*.matrix.test.ts`, of which `npm test` runs one each.
 */

/** Set by the test command. */
export const IS_LONG = process.env['GODWIT_TEST_TIER'] === 'long';

/** The cases of a table in a `*.matrix.test.ts`: the first alone in the short tier. */
export const matrix = <T>(cases: readonly T[]): readonly T[] => (IS_LONG ? cases : cases.slice(0, 1));
