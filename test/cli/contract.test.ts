import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type CommandResult, runCommand } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';

/** Values that stand in documents and nowhere else: none may be seen. */
const SECRETS = ['zqxsecretmail', 'zqxsecretname', '918273645', 'zqxdeepsecret', 'zqxarray', 'zqxtextid'];
const PASSWORD = 'zqxpassword';

const person = (_id: unknown, n: number) => ({
  _id,
  mail: `${SECRETS[0]}${n}@X.test`,
  name: SECRETS[1],
  ssn: 918_273_645,
  deep: { inner: SECRETS[3] },
  list: [SECRETS[4], n],
});

const GOOD = `(doc) => ({ ...doc, mail: doc.mail.toLowerCase(), seen: true })`;
/** Quotes values in everything that it says. */
const BAD = `(doc, { reject }) => {
  if (doc.n === 1) throw new Error('cannot read ' + doc.mail + ' of ' + doc.deep.inner + ' ' + doc.ssn);
  if (doc.n === 2) return reject('bad name ' + doc.name + ' in ' + doc.list[0]);
  return { ...doc, mail: doc.mail.toLowerCase() };
}`;

const file = (up: string, more = ''): string => `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'a test', author: 'Ana', pr: 'https://x.test/1', steps: [transform({ collection: 'people', up: ${up}, ${more} })] });
`;

const project = (): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': file(GOOD),
    'scripts/migrations/m2.mjs': file(BAD),
    'scripts/migrations/m3.mjs': file("(doc) => ({ ...doc, ssn: 'taken', name: null })"),
  });

/** A verb's call, its exit code, and the fields that the contract names for it. */
type Call = readonly [args: string, exit: number, fields: string];

const RUN =
  'migration runId state scanned changed inserted deleted unchanged failed batches conflictsRetried resumedFrom seconds docsPerSecond throttledSeconds';
const STATUS =
  'id state checksum scanned changed unchanged failed total startedAt updatedAt finishedAt cursor docsPerSecond etaSeconds throttled';
const BACK = 'restored removed reinserted keptFields goneSince noBefore conflicts conflictList identical';

const CALLS: readonly Call[] = [
  ['init', 0, 'created kept'],
  ['create later', 0, 'file test'],
  ['config', 0, 'file values'],
  ['list', 0, 'migrations'],
  ['doctor', 0, 'checks'],
  [
    'run m1 --dry-run',
    0,
    'migration checksum scanned wouldChange wouldInsert wouldDelete unchanged wouldFail fields samples idempotent deterministic reversible bytesDelta uniqueCollisions validationFailures estimate',
  ],
  ['dry-run m1 --sample 5', 0, 'sample scanned'],
  ['run m1 --limit 2', 7, RUN],
  ['run m1', 0, RUN],
  ['status m1', 0, 'migrations'],
  ['verify m1', 0, 'ok checks'],
  ['audit m1', 0, 'entries'],
  ['audit m1 --doc zqxtextid1', 0, 'entries'],
  ['rollback m1 --dry-run', 0, BACK],
  ['rollback m1', 0, BACK],
  ['amend m1 --because why', 0, 'checksum'],
  ['run m2 --dry-run', 4, 'failures wouldFail'],
  ['run m2', 1, 'error state failed'],
  ['run m2 --max-failures 9', 4, RUN],
  ['status m2', 0, 'migrations'],
  ['retry m2 --max-failures 9', 4, RUN],
  ['verify m2', 6, 'ok checks'],
  ['run m3 --dry-run', 4, 'uniqueCollisions validationFailures'],
  ['run m3', 1, 'error'],
  ['run nothing', 2, 'error'],
  ['verify m1 --nonsense', 2, 'error'],
];

describe('the contract of the command', () => {
  const { db, uri } = useDatabase('contract');

  async function fill(): Promise<void> {
    await db.createCollection('people', { validator: { name: { $type: 'string' } } });
    await db.collection('people').createIndex({ ssn: 1 }, { unique: true, partialFilterExpression: { ssn: 'taken' } });
    const ids: unknown[] = ['zqxtextid1', 'zqxtextid2', 3, 4, 5, { part: 'zqxtextid6' }];
    await db.collection('people').insertMany(ids.map((_id, n) => ({ ...person(_id, n), n })) as never[]);
  }

  function seen(result: CommandResult, what: string): void {
    const text = `${result.stdout}${result.stderr}`;
    for (const secret of [...SECRETS, PASSWORD]) {
      // What the caller typed is not told by us.
      if (what.includes(secret)) continue;
      expect([what, secret, text.toLowerCase().includes(secret)]).toEqual([what, secret, false]);
    }
  }

  test('--json is one document with the fields that it names, exit codes agree, and no value of a document is seen', {
    tags: ['P10', 'P11'],
  }, async () => {
    await fill();
    const cwd = await project();
    for (const [args, exit, fields] of CALLS) {
      const json = await runCommand([...args.split(' '), '--json', '--progress', 'ndjson'], { cwd, uri });
      expect([args, json.code, json.code === exit ? '' : json.stdout]).toEqual([args, exit, '']);
      const document = JSON.parse(json.stdout) as Record<string, unknown>;
      expect([args, fields.split(' ').filter((name) => !(name in document))]).toEqual([args, []]);
      for (const line of json.stderr.split('\n').filter((text) => text.startsWith('{')))
        expect(() => JSON.parse(line)).not.toThrow();
      expect([args, (json.stdout + json.stderr).includes('\u001b')]).toEqual([args, false]);
      seen(json, args);
      if (args === 'status m1') {
        const [row] = document['migrations'] as Record<string, unknown>[];
        expect(STATUS.split(' ').filter((name) => !(name in (row ?? {})))).toEqual([]);
      }
      if ('error' in document)
        expect(Object.keys(document['error'] as object).sort()).toEqual(['code', 'details', 'message', 'next']);
      // The same for people, where it changes nothing.
      if (/^(list|status|verify|audit|doctor|config|.*--dry-run)/.test(args) && !args.includes('nonsense')) {
        const text = await runCommand(
          [...args.split(' '), '--show-values'].filter(
            (flag) => flag !== '--show-values' || /^run|^dry-run|^audit/.test(args),
          ),
          { cwd, uri },
        );
        expect([args, text.code, (text.stdout + text.stderr).includes('\u001b')]).toEqual([args, exit, false]);
        seen(text, args);
      }
    }
    for (const name of await readdir(join(cwd, '.godwit/reports')))
      seen(
        { code: 0, signal: null, stdout: await readFile(join(cwd, '.godwit/reports', name), 'utf8'), stderr: '' },
        name,
      );
  });

  test('values are written where they were asked for by name, and readable by the owner only', async () => {
    await fill();
    const cwd = await project();
    await runCommand(['run', 'm1', '--json'], { cwd, uri });
    const out = join(cwd, 'audit.ndjson');
    await runCommand(['audit', 'm1', '--out', out, '--json'], { cwd, uri });
    const lines = (await readFile(out, 'utf8')).trim().split('\n');
    expect(lines.length).toBe(6);
    expect(lines.join('')).toContain('zqxsecretname');
    expect((await readdir(cwd)).filter((name) => name.includes('.part'))).toEqual([]);
  });

  test("the URI's password is in no output, whatever goes wrong", { tags: ['P11'] }, async () => {
    const cwd = await project();
    const bad = uri.replace('mongodb://', `mongodb://ana:${PASSWORD}@`);
    for (const args of ['list', 'run m1', 'config', 'doctor', 'run m1 --dry-run --verbose']) {
      seen(await runCommand([...args.split(' '), '--json'], { cwd, uri: bad }), args);
      seen(await runCommand(args.split(' '), { cwd, uri: `${bad}&nonsense=%ZZ` }), args);
    }
  });
});
