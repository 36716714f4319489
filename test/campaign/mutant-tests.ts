/** Which test hunts which mutant: for the table of what is proved where. */
import { MUTANTS } from './mutants.js';

export interface MutantTest {
  readonly mutant: string;
  /** Below the repository. */
  readonly file: string;
  readonly test: string;
}

/** Of this test file in the long tier; its tests are made from this list. */
export const MUTANT_TESTS: readonly MutantTest[] = MUTANTS.map(({ name }) => ({
  mutant: name,
  file: 'test/campaign/mutants.long.test.ts',
  test: `${name} is caught, by a schedule that holds without the damage`,
}));
