// The test command: sets the machine up, builds, checks, tests, and closes with a line that says how it went.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';

const run = (command, args) => {
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  return status === 0;
};

/** The mongod of the wheel links libcurl4, which a bare Debian lacks. */
function setUp() {
  if (process.platform !== 'linux') return;
  let libraries = '';
  try {
    libraries = execFileSync('ldconfig', ['-p'], {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` },
    });
  } catch {
    return; // no glibc tools: the embedded server says what it misses
  }
  if (libraries.includes('libcurl.so.4') || process.getuid?.() !== 0) return;
  console.log('installing libcurl4 for the embedded mongod');
  run('apt-get', ['update', '-q']);
  run('apt-get', ['install', '-y', '-q', 'libcurl4']);
}

setUp();
const isBuilt = run('npm', ['run', '--silent', 'build']);
const isClean = isBuilt && run('npm', ['run', '--silent', 'check']);
const report = 'coverage/vitest.json';
rmSync(report, { force: true });
const isGreen =
  isBuilt && run('npx', ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile=${report}`]);

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
