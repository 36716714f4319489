/** Each mutant is built and must be caught, or the campaign proves nothing: `npm run campaign -- --mutants` as tests. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { killLeftovers, MAIN } from '../support/process.js';
import { Crew } from './crew.js';
import { hunt } from './hunt.js';
import { MUTANT_TESTS } from './mutant-tests.js';
import { MUTANTS } from './mutants.js';

const WORKERS = 2;
/** The first is known to catch it; but where that hangs on who is quicker, another one may have to. */
const SCHEDULES = 12;
const LONGEST_MS = 900_000;

let crew: Crew;
beforeAll(async () => {
  crew = await Crew.start(WORKERS);
});
afterAll(async () => {
  killLeftovers();
  await crew[Symbol.asyncDispose]();
});

test.each(MUTANT_TESTS.map((entry) => [entry.test, entry.mutant] as const))(
  '%s',
  async (_, name) => {
    const [mutant] = MUTANTS.filter((one) => one.name === name);
    if (!mutant) throw new Error(`wanted a mutant ${name}`);
    const startedAt = performance.now();
    const { count, caught } = await hunt(mutant, { crew, seeds: mutant.seeds, limit: SCHEDULES, healthy: MAIN });
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
    console.log(`${name}: schedule ${count}, ${seconds} s, seed ${caught?.seed}: ${caught?.violation}`);
    expect(caught, `${count} schedules held`).toBeDefined();
    expect(caught?.isFair, `seed ${caught?.seed} fails without the damage, too: ${caught?.violation}`).toBe(true);
  },
  LONGEST_MS,
);
