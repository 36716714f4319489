/** Files that were asked for and cannot be written (F63); commands that are interrupted or misdirected (F61, F62). */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { callCommand, runCommand, runJson } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { MAIN } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { everything } from '../support/scratch.js';

const COUNT = 300;
const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";

describe('a command', () => {
  const { db, uri } = useDatabase('reports');
  let cwd: string;

  const fill = (from: number, to: number): Promise<unknown> =>
    db
      .collection<{ _id: number }>('people')
      .insertMany(Array.from({ length: to - from }, (_, n) => ({ _id: from + n })));

  beforeEach(async () => {
    await fill(0, COUNT);
    cwd = await makeMigration(UP);
  });

  describe('whose file cannot be written', { tags: ['F63', 'P10'] }, () => {
    test.each([
      ['the report of a dry run, on a device that is full', ['run', 'm1', '--dry-run', '--out', '/dev/full']],
      ['the report of a dry run, below a file', ['run', 'm1', '--dry-run', '--out', 'package.json/report.json']],
    ])('says so: %s', async (_, args) => {
      writeFileSync(join(cwd, 'package.json'), '{}');
      const { code, json } = await runJson(args, { cwd, uri });
      expect([code, json['error']]).toMatchObject([1, { code: 'GODWIT_REPORT_NOT_WRITTEN' }]);
      expect(statSync('/dev/full').isCharacterDevice()).toBe(true);
      expect((await readdir(cwd)).filter((name) => name.endsWith('.part'))).toEqual([]);
    });

    test('says so: the folder of reports', async () => {
      writeFileSync(join(cwd, '.godwit'), 'a file');
      const { code, json } = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
      expect([code, json['error']]).toMatchObject([1, { code: 'GODWIT_REPORT_NOT_WRITTEN' }]);
    });

    test('says so: the audit; and the run is complete all the same', async () => {
      expect((await runCommand(['run', 'm1', '--progress', 'none'], { cwd, uri })).code).toBe(0);
      const { code, json } = await runJson(['audit', 'm1', '--out', '/dev/full'], { cwd, uri });
      expect([code, json['error']]).toMatchObject([1, { code: 'GODWIT_REPORT_NOT_WRITTEN' }]);
      expect((await runCommand(['verify', 'm1'], { cwd, uri })).code).toBe(0);
    });

    test('does not end with 0: its own output', async () => {
      const full = openSync('/dev/full', 'w');
      const env = { ...process.env, MONGODB_URI: uri };
      const child = spawn(process.execPath, [MAIN, 'list', '--json'], { cwd, env, stdio: ['ignore', full, 'ignore'] });
      const [code] = (await once(child, 'exit')) as [number | null];
      closeSync(full);
      expect(code).not.toBe(0);
    });
  });

  test('that is to write to a pipe writes into it, and leaves it a pipe', async () => {
    // By a shell: the pipes that Node.js gives its children are sockets, which nobody can open by a name.
    const command = `"${process.execPath}" "${MAIN}" run m1 --dry-run --quiet --out /dev/stdout | cat`;
    const { stdout } = await promisify(execFile)('sh', ['-c', command], {
      cwd,
      env: { ...process.env, MONGODB_URI: uri },
    });
    expect(stdout).toMatch(/^\{[\s\S]*"wouldChange": 300\b/);
  });

  test.each([
    ['a dry run', ['run', 'm1', '--dry-run'], 'dry-run:progress'],
    ['a verification', ['verify', 'm1'], 'run:verify'],
  ])('that is interrupted in %s has written nothing, and says 130', { tags: ['F61', 'P1'] }, async (_, args, event) => {
    // Enough that it is not through before it is interrupted.
    await fill(COUNT, 3_000);
    if (args[0] === 'verify') await runCommand(['run', 'm1', '--progress', 'none'], { cwd, uri });
    const before = await everything(db);
    const env = { GODWIT_BATCH_SIZE: '1' };
    const call = callCommand([...args, '--progress', 'ndjson'], { cwd, uri, env });
    // At the next turn of the loop: a verification of so many documents is quickly over.
    while (!call.stderr().includes(event)) await nextTurn();
    call.signal('SIGINT');
    expect((await call.end).code).toBe(130);
    expect(await everything(db)).toEqual(before);
  });

  describe('for production', { tags: ['F62', 'P8'] }, () => {
    beforeEach(() => {
      const environments = { live: { uri, production: true } };
      writeFileSync(join(cwd, 'godwit.config.json'), JSON.stringify({ environments }));
    });

    test.each([
      ['no name', []],
      ['another name', ['--yes', 'other']],
      ['a name that differs by case', ['--yes', 'UPPER']],
    ])('with %s touches nothing', async (_, yes) => {
      const before = await everything(db);
      const args = yes[1] === 'UPPER' ? ['--yes', db.databaseName.toUpperCase()] : yes;
      const { code, json } = await runJson(['run', 'm1', '--env', 'live', ...args], { cwd });
      expect([code, json['error']]).toMatchObject([2, { code: 'GODWIT_CONFIRM' }]);
      expect(await everything(db)).toEqual(before);
    });

    test('with its name runs', async () => {
      const { code } = await runJson(['run', 'm1', '--env', 'live', '--yes', db.databaseName], { cwd });
      expect(code).toBe(0);
    });
  });
});
