// The test command: sets the machine up, builds, checks, tests, and closes with a line that says how it went.
import { spawnSync } from 'node:child_process';
import { createJiti } from 'jiti';
import { setUp } from './set-up.mjs';
import { close, RESULTS, readResults, runTests } from './vitest.mjs';

if (process.argv.length > 2) {
  console.error(`npm test runs everything and takes no arguments (${process.argv.slice(2).join(' ')})
next: npm run build && npx vitest run ${process.argv.slice(2).join(' ')}`);
  process.exit(2);
}

const isRun = (script) => spawnSync('npm', ['run', '--silent', script], { stdio: 'inherit' }).status === 0;

/** Promises and fault rows of which no test has passed, whatever the pages say. */
async function notShown(results) {
  const { FAULTS, NOT_YET, PROMISES } = await createJiti(import.meta.url).import('../test/claims/claims.ts');
  const shown = new Set(results.flatMap((one) => one.shown));
  return Object.keys({ ...PROMISES, ...FAULTS }).filter((id) => !shown.has(id) && !(id in NOT_YET));
}

const startedAt = performance.now();
setUp();
const problems = [];
if (isRun('build')) {
  if (!isRun('check')) problems.push('npm run check (see above)');
  const isGreen = runTests({});
  const results = readResults(RESULTS);
  if (!isGreen && results.every(({ failed }) => failed === 0)) problems.push('the test runner (see above)');
  const missing = await notShown(results);
  if (missing.length > 0) problems.push(`no test has shown ${missing.join(', ')} (docs/proofs.md)`);
} else problems.push('npm run build (see above)');
console.log(`${((performance.now() - startedAt) / 60_000).toFixed(1)} minutes`);
process.exit(
  close(problems.some((one) => one.startsWith('npm run build')) ? [] : readResults(RESULTS), problems) ? 0 : 1,
);
