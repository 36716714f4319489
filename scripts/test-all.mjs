// The long tier (`npm run test:all`): the README's commands in an empty clone, then what `npm test` leaves out, then the
// short tier again on a newer MongoDB. What was green is stored by commit, so that another call, or another session,
// goes on: `--shard 2/4` runs a part of it, `--again` all of it.
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { NEWER, newerMongod } from './newer-mongod.mjs';
import { setUp } from './set-up.mjs';
import { close, readResults, runTests } from './vitest.mjs';

const USAGE = `npm run test:all                  the long tier; goes on where it was on this commit
npm run test:all -- --shard 1/4   a quarter of it
npm run test:all -- --again       forgets what was stored`;

function refuse(problem) {
  console.error(`${problem}\n${USAGE}`);
  process.exit(2);
}

function argumentsGiven() {
  try {
    return parseArgs({
      options: { shard: { type: 'string', default: '1/1' }, again: { type: 'boolean' }, help: { type: 'boolean' } },
    }).values;
  } catch (error) {
    return refuse(error.message.split('. ')[0]);
  }
}

const values = argumentsGiven();
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const [shard, shards] = values.shard.split('/').map(Number);
if (!/^\d+\/\d+$/.test(values.shard) || !(shard >= 1 && shard <= shards))
  refuse(`--shard is K/N with K from 1 to N, not ${values.shard === '' ? 'empty' : values.shard}`);

const git = (...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
const commit = git('rev-parse', 'HEAD');
const isClean = git('status', '--porcelain') === '';

/** A line for each file of each part that has ended. */
function store() {
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'godwit', 'test-all');
  const path = isClean ? join(cache, `${commit}.jsonl`) : 'coverage/test-all.jsonl';
  mkdirSync(isClean ? cache : 'coverage', { recursive: true });
  if (!isClean || values.again) rmSync(path, { force: true });
  return path;
}

const README = 'README';
const LONG = 'long';
const ON_NEWER = `on MongoDB ${NEWER}`;

const tests = readdirSync('test', { recursive: true })
  .map((name) => `test/${name.replaceAll('\\', '/')}`)
  .filter((name) => name.endsWith('.test.ts'))
  .sort();
const units = [
  { part: README, file: 'README.md' },
  ...tests.filter((file) => /\.(long|matrix)\.test\.ts$/.test(file)).map((file) => ({ part: LONG, file })),
  ...tests.filter((file) => !file.endsWith('.long.test.ts')).map((file) => ({ part: ON_NEWER, file })),
];

/** The last result of each unit. */
function resultsAt(path) {
  const last = new Map(readResults(path).map((one) => [`${one.part} ${one.file}`, one]));
  return units.map((unit) => ({ ...unit, result: last.get(`${unit.part} ${unit.file}`) }));
}

/** The README's two commands, in a clone with nothing beside it, an empty home and empty caches. */
function followReadme(path) {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-clone-'));
  const clone = join(folder, 'godwit');
  const { XDG_CACHE_HOME: _cache, GODWIT_TEST_RESULTS: _results, ...own } = process.env;
  const env = { ...own, HOME: join(folder, 'home'), npm_config_cache: join(folder, 'npm') };
  mkdirSync(env.HOME);
  const startedAt = performance.now();
  try {
    git('clone', '-q', '.', clone);
    const commands = [...readFileSync('README.md', 'utf8').matchAll(/```sh\n(npm ci && npm .*)\n```/g)].map(
      ([, text]) => text,
    );
    const failed = commands.filter((command) => {
      console.log(`\n${command}   (in a clone with an empty home)`);
      return spawnSync('sh', ['-c', command], { cwd: clone, env, stdio: 'inherit' }).status !== 0;
    });
    const results = readResults(join(clone, 'coverage/results.jsonl'));
    const sum = (name) => results.reduce((total, one) => total + one[name], 0);
    const isWhole = commands.length === 2;
    const more = { passed: sum('passed') + commands.length - failed.length, skipped: sum('skipped') };
    const seconds = Math.round((performance.now() - startedAt) / 1_000);
    const bad = Math.max(sum('failed'), failed.length) + (isWhole ? 0 : 1);
    appendFileSync(path, `${JSON.stringify({ part: README, file: 'README.md', ...more, failed: bad, seconds })}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns what has failed beside tests */
function runPart(part, todo, path) {
  const files = todo.filter((unit) => unit.part === part).map(({ file }) => file);
  if (files.length === 0) return [];
  console.log(`\n${part}: ${files.length} files`);
  if (part === README) {
    followReadme(path);
    return [];
  }
  const more = part === LONG ? { GODWIT_TEST_TIER: 'long' } : { GODWIT_MONGOD: newerMongod() };
  const isGreen = runTests({ files, env: { GODWIT_TEST_PART: part, ...more }, results: path, isMore: true });
  // An error that no test has caught ends the runner with a failure, though every test has passed.
  const failed = readResults(path).some((one) => one.part === part && files.includes(one.file) && one.failed > 0);
  return isGreen || failed ? [] : [`the test runner, in ${part} (see above)`];
}

setUp();
const path = store();
const isGreen = ({ result }) => result !== undefined && result.failed === 0;
const mine = (_, index) => index % shards === shard - 1;
console.log(isClean ? `commit ${commit}` : 'the work tree is not committed: nothing of this run is stored');
const todo = resultsAt(path).filter((unit, index) => mine(unit, index) && !isGreen(unit));
const problems = [];
if (spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' }).status !== 0) problems.push('npm run build');
else for (const part of [README, LONG, ON_NEWER]) problems.push(...runPart(part, todo, path));

const all = resultsAt(path);
for (const part of [README, LONG, ON_NEWER]) {
  const own = all.filter((unit) => unit.part === part);
  const seconds = own.reduce((sum, { result }) => sum + (result?.seconds ?? 0), 0);
  console.log(
    `${part}: ${own.filter(isGreen).length} of ${own.length} files green, ${Math.round(seconds)} s of one worker`,
  );
}
const failed = all.filter((unit, index) => mine(unit, index) && !isGreen(unit));
for (const { part, file, result } of failed) {
  if (!result) problems.push(`${part}, ${file}: did not end`);
  else console.log(`failed: ${part}, ${file}`);
}
const left = all.filter((unit) => unit.result === undefined).length;
if (left > 0) console.log(`${left} files are left for other shards of ${commit.slice(0, 12)}`);
process.exit(
  close(
    all.flatMap(({ result }) => result ?? []),
    problems,
  )
    ? 0
    : 1,
);
