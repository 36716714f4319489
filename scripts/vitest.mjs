// Runs test files and says how each ended.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';

export const RESULTS = 'coverage/results.jsonl';

/** @returns {{ file: string, passed: number, failed: number, skipped: number, seconds: number, shown: string[] }[]} */
export const readResults = (path) =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    : [];

/**
 * @param options.files those only; all of the tier when left out
 * @param options.env more of the environment: the tier, another server
 * @param options.results where a line for each file goes; appended to when `isMore`
 * @returns false when a test failed, or something else did
 */
export function runTests({ files = [], env = {}, results = RESULTS, isMore = false }) {
  mkdirSync('coverage', { recursive: true });
  if (!isMore) rmSync(results, { force: true });
  const reporters = ['default', './test/support/timings.ts', './test/support/results.ts'];
  const { status } = spawnSync('npx', ['vitest', 'run', ...reporters.map((name) => `--reporter=${name}`), ...files], {
    stdio: 'inherit',
    env: { ...process.env, ...env, GODWIT_TEST_RESULTS: results },
  });
  return status === 0;
}

/** `N passed, N failed`, as the sums of the results. @param problems what else has failed, a line each */
export function close(results, problems) {
  const sum = (name) => results.reduce((total, one) => total + one[name], 0);
  for (const problem of problems) console.log(`failed: ${problem}`);
  const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : '';
  const failed = sum('failed') + problems.length;
  console.log(`${sum('passed')} passed, ${failed} failed${skipped}`);
  return failed === 0 && sum('passed') > 0;
}
