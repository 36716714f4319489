import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { useDatabase } from '../support/database.js';

const run = promisify(execFile);
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

const MIGRATION = `import { defineMigration, transform } from 'godwit';
export default defineMigration({
  description: 'Mails are lower-case',
  steps: [transform({ collection: 'people', up: (doc) => ({ ...doc, mail: doc.mail.toLowerCase() }) })],
});
`;

const PROGRAM = `import { godwit, ObjectId, GodwitError } from 'godwit';
const g = await godwit({ uri: process.argv[2], cwd: process.argv[3] });
const report = await g.dryRun('lower');
const run = g.run('lower');
let batches = 0;
run.on('run:batch', () => { batches += 1; });
const { state, changed } = await run.result;
const back = await g.rollback('lower').result;
await g.close();
console.log(JSON.stringify({ wouldChange: report.wouldChange, state, changed, batches, identical: back.identical, names: [typeof ObjectId, typeof GodwitError] }));
`;

describe('the packed package', () => {
  const { db, uri } = useDatabase('package');
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'godwit-package-'));
    // Without scripts: `prepack` would build dist/ anew under the feet of other tests.
    await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: REPOSITORY });
    const [tarball] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
    await writeFile(join(folder, 'package.json'), '{"name":"somebody","private":true,"type":"module"}');
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--silent', `./${tarball}`], {
      cwd: folder,
    });
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** What npx runs, without the time that npx takes. */
  const command = (args: readonly string[], env = process.env) =>
    run(join(folder, 'node_modules/.bin/godwit'), [...args], { cwd: folder, env });

  test('installs elsewhere and runs as a command', async () => {
    const { stdout } = await run('npx', ['godwit', '--version'], { cwd: folder });
    expect(stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/);
    expect((await command(['--help'])).stdout).toContain('rollback');
  });

  test('creates, runs and rolls back a migration, as a command and as a library', async () => {
    await db.collection('people').insertMany([{ mail: 'Ada@X.test' }, { mail: 'BOB@x.TEST' }]);
    const env = { ...process.env, MONGODB_URI: uri };
    const created = JSON.parse((await command(['create', 'lower', '--json'], env)).stdout) as { file: string };
    await writeFile(join(folder, created.file), MIGRATION);
    const { stdout } = await command(['run', 'lower', '--json', '--progress', 'none'], env);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'completed', changed: 2 });
    await command(['rollback', 'lower', '--progress', 'none'], env);

    await writeFile(join(folder, 'program.js'), PROGRAM);
    const program = await run(process.execPath, ['program.js', uri, folder], { cwd: folder });
    expect(JSON.parse(program.stdout)).toEqual({
      wouldChange: 2,
      state: 'completed',
      changed: 2,
      batches: 1,
      identical: true,
      names: ['function', 'function'],
    });
  });
});
