import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type EmbeddedServer, startEmbedded } from '../../src/embedded/start.js';
import { carriedOut, sideBySide } from '../support/cases.js';
import { type CommandResult, runCommand, runJson } from '../support/command.js';
import { makeMigration, makeProject } from '../support/project.js';
import { errorOf, expectRefusal, type Refusal } from '../support/refusal.js';
import { everything, hashOf, useScratch } from '../support/scratch.js';

interface Case extends Refusal {
  readonly title: string;
  /** Files of `scripts/migrations/`. */
  readonly files: Readonly<Record<string, string>>;
  /** The dry run refuses it, too. (All do that load the file; one or two of them are looked at.) */
  readonly dryToo?: true;
}

const UP = 'up: (doc) => ({ ...doc, mail: doc.mail.toLowerCase() })';

/** A file with these options of `transform()` and these further keys of `defineMigration()`. */
const file = (options: string, keys = ''): string => `import { defineMigration, transform } from 'godwit';
export default defineMigration({
  description: 'a test', ${keys}
  steps: [transform({ ${options} })],
});
`;

const m1 = (text: string): Readonly<Record<string, string>> => ({ 'm1.mjs': text });
const BROKEN = { exit: 2, code: 'GODWIT_MIGRATION_BROKEN' } as const;
const TARGET = { exit: 2, code: 'GODWIT_TARGET' } as const;

const CASES: readonly Case[] = [
  {
    title: 'a syntax error, by file and line',
    dryToo: true,
    files: m1(
      `import { defineMigration } from 'godwit';\n\nexport default defineMigration({ description: 'x' steps: [] });\n`,
    ),
    ...BROKEN,
    says: /m1\.mjs, found that it cannot be loaded: .*Unexpected token.*line 3:50/,
  },
  {
    title: 'a syntax error in TypeScript, by file and line',
    files: { 'm1.ts': `const a: number = 1;\nconst b: number = ;\nexport default b;\n` },
    ...BROKEN,
    says: /m1\.ts, found that it cannot be loaded: .*line 2:/,
  },
  {
    title: 'an error while it is loaded, by file and line',
    files: m1(`\n\nthrow new Error('boom');\n`),
    ...BROKEN,
    says: /m1\.mjs, found that it cannot be loaded: Error: boom \(line 3:/,
  },
  {
    title: 'an import that is not there',
    files: m1(`import x from './nope.mjs';\nexport default x;\n`),
    ...BROKEN,
    says: /m1\.mjs, found that it cannot be loaded: .*\.\/nope\.mjs/,
  },
  { title: 'an empty file', files: m1(''), ...BROKEN, says: /m1\.mjs, found no default export/ },
  { title: 'no default export', files: m1('export const a = 1;\n'), ...BROKEN, says: /found no default export/ },
  {
    title: 'a default export that defineMigration() did not make',
    files: m1(`export default { description: 'x', steps: [] };\n`),
    ...BROKEN,
    says: /found a default export that defineMigration\(\) did not make/,
  },
  {
    title: 'a step that is written out, and not made by a step function',
    dryToo: true,
    files: m1(file(`collection: 'people', ${UP}`).replace('transform({', "{ kind: 'transform',").replace('})]', '}]')),
    ...BROKEN,
    says: /wanted steps made by transform\(\), .*found an object that none of them made/,
  },
  {
    title: 'two files with one id',
    files: { ...m1(file(`collection: 'people', ${UP}`)), 'm1.ts': 'export default 1;\n' },
    exit: 2,
    code: 'GODWIT_MIGRATION_DUPLICATE',
    says: /wanted one file for each migration, found two called "m1" in .*scripts\/migrations/,
  },
  {
    title: 'an unknown key in transform()',
    files: m1(file(`collection: 'people', filtre: { n: 1 }, ${UP}`)),
    ...BROKEN,
    says: /wanted the keys .*filter.* in transform\(\), found "filtre"/,
  },
  {
    title: 'an unknown key in defineMigration()',
    files: m1(file(`collection: 'people', ${UP}`, 'irreversible: true,')),
    ...BROKEN,
    says: /in defineMigration\(\), found "irreversible"/,
  },
  {
    title: 'an empty filter',
    dryToo: true,
    files: m1(file(`collection: 'people', filter: {}, ${UP}`)),
    ...BROKEN,
    says: /wanted a filter that chooses, or `all: true` for every document, found an empty filter/,
  },
  {
    title: 'a filter that is null',
    files: m1(file(`collection: 'people', filter: null, ${UP}`)),
    ...BROKEN,
    says: /wanted .*filter/,
  },
  {
    title: 'a transform() without up',
    files: m1(file(`collection: 'people'`)),
    ...BROKEN,
    says: /wanted transform\(\)\.up as a function, found nothing/,
  },
  {
    title: 'steps of one collection with others between them',
    files: m1(
      file(
        `collection: 'people', ${UP} }), transform({ collection: 'x', ${UP} }), transform({ collection: 'people', ${UP}`,
      ),
    ),
    ...BROKEN,
    says: /found others between those of "people"/,
  },
  {
    title: 'a collection that is not there',
    dryToo: true,
    files: m1(file(`collection: 'poeple', ${UP}`)),
    ...TARGET,
    says: /wanted the collection t_migration_\w+\.poeple, found none of that name\. Did you mean "people"\?/,
  },
  {
    title: 'a view',
    dryToo: true,
    files: m1(file(`collection: 'view', ${UP}`)),
    ...TARGET,
    says: /wanted an ordinary collection, found that \S+\.view is a view/,
  },
  {
    title: 'a time-series collection',
    dryToo: true,
    files: m1(file(`collection: 'series', ${UP}`)),
    ...TARGET,
    says: /found that \S+\.series is a time-series collection/,
  },
  {
    title: 'a capped collection',
    files: m1(file(`collection: 'capped', ${UP}`)),
    ...TARGET,
    says: /found that \S+\.capped is a capped collection/,
  },
  {
    title: 'a dependency that is not completed',
    files: {
      ...m1(file(`collection: 'people', ${UP}`, `dependsOn: ['m0'],`)),
      'm0.mjs': file(`collection: 'people', ${UP}`),
    },
    exit: 2,
    code: 'GODWIT_DEPENDENCY',
    says: /wanted m0 completed before m1, found it not run/,
  },
];

describe('a migration that cannot be run', () => {
  const scratch = useScratch('migration', () => inject('mongoUri'));
  interface Seen {
    readonly results: readonly CommandResult[];
    readonly before: unknown;
    readonly after: unknown;
  }
  const seen = carriedOut(CASES, async ({ files, dryToo }): Promise<Seen> => {
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number; mail: string }>('people').insertOne({ _id: 1, mail: 'A@x.test' });
    await db.createCollection('view', { viewOn: 'people', pipeline: [] });
    await db.createCollection('capped', { capped: true, size: 4_096 });
    await db.createCollection('series', { timeseries: { timeField: 'at' } });
    const before = await everything(db);
    const cwd = await makeProject(
      Object.fromEntries(Object.entries(files).map(([name, text]) => [`scripts/migrations/${name}`, text])),
    );
    const results: CommandResult[] = [];
    for (const args of dryToo
      ? [
          ['run', 'm1', '--dry-run'],
          ['run', 'm1'],
        ]
      : [['run', 'm1']])
      results.push(await runCommand([...args, '--json'], { cwd, uri }));
    return { results, before, after: await everything(db) };
  });

  for (const one of CASES)
    test(`is refused, and nothing is written: ${one.title}`, () => {
      const { results, before, after } = seen(one);
      for (const result of results) expectRefusal(result, one);
      expect(after).toEqual(before);
    });

  test("is refused, and nothing is written: Godwit's own state as the target", async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertOne({ mail: 'A@x.test' });
    const cwd = await makeProject({
      'scripts/migrations/m0.mjs': file(`collection: 'people', ${UP}`),
      'scripts/migrations/m1.mjs': file(`collection: 'migrations_audit', up: (doc) => ({ ...doc, seen: true })`),
    });
    expect((await runJson(['run', 'm0'], { cwd, uri })).code).toBe(0);
    const before = await everything(db);
    const result = await runCommand(['run', 'm1', '--json'], { cwd, uri });
    expectRefusal(result, { ...TARGET, says: /migrations_audit/ });
    expect(await everything(db)).toEqual(before);
  });

  test('is told by the list as what it is: broken, and why', async () => {
    const { uri } = scratch.make();
    const cwd = await makeProject({ 'scripts/migrations/m1.mjs': 'export const a = 1;\n' });
    const { code, json } = await runJson(['list'], { cwd, uri });
    expect(code).toBe(0);
    expect(json).toMatchObject({
      migrations: [{ id: 'm1', state: 'broken', because: expect.stringContaining('no default export') as string }],
    });
  });
});

describe('a migration whose file was changed after its run began', () => {
  const scratch = useScratch('changed', () => inject('mongoUri'));

  test('is refused by its file name until it is amended, then goes on', { tags: ['F58', 'P10'] }, async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(Array.from({ length: 5 }, (_, n) => ({ n, mail: `A${n}@x.test` })));
    const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })');
    const begun = await runJson(['run', 'm1', '--limit', '2'], { cwd, uri });
    expect([begun.code, begun.json]).toMatchObject([7, { state: 'stopped', changed: 2 }]);
    const path = join(cwd, 'scripts/migrations/m1.mjs');
    await writeFile(path, `${await readFile(path, 'utf8')}// changed\n`);
    const before = await everything(db);
    const refused = await sideBySide(['run m1', 'rollback m1', 'rollback m1 --dry-run', 'verify m1'], (line) =>
      runCommand([...line.split(' '), '--json'], { cwd, uri }),
    );
    for (const result of refused) {
      expectRefusal(result, {
        exit: 2,
        code: 'GODWIT_CHECKSUM',
        says: /wanted m1 as it was.*found it changed.*m1\.mjs/,
      });
      expect(errorOf(result).details).toMatchObject({ migration: 'm1', changed: ['m1.mjs'] });
    }
    expect(await everything(db)).toEqual(before);
    const shown = await runJson(['status', 'm1'], { cwd, uri });
    expect(shown.json).toMatchObject({ migrations: [{ fileUnchanged: false }] });

    expect((await runJson(['amend', 'm1', '--because', 'a comment'], { cwd, uri })).code).toBe(0);
    const done = await runJson(['run', 'm1'], { cwd, uri });
    expect([done.code, done.json]).toMatchObject([0, { state: 'completed', changed: 5, resumed: true }]);
    const { json } = await runJson(['status', 'm1'], { cwd, uri });
    expect(JSON.stringify(json)).toContain('amended: a comment');
  });

  test('is found changed, too, when only a file that it imports was changed', { tags: ['F58'] }, async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(Array.from({ length: 3 }, (_, n) => ({ n, mail: `A${n}@x.test` })));
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { lower } from './lib/lower.mjs';\n${file(`collection: 'people', up: (doc) => ({ ...doc, mail: lower(doc.mail) })`)}`,
      'scripts/migrations/lib/lower.mjs': 'export const lower = (text) => text.toLowerCase();\n',
    });
    expect((await runJson(['run', 'm1', '--limit', '1'], { cwd, uri })).code).toBe(7);
    await writeFile(join(cwd, 'scripts/migrations/lib/lower.mjs'), 'export const lower = (text) => text;\n');
    const result = await runCommand(['run', 'm1', '--json'], { cwd, uri });
    expectRefusal(result, { exit: 2, code: 'GODWIT_CHECKSUM', says: /lib\/lower\.mjs/ });
  });
});

describe('a standalone server', () => {
  let server: EmbeddedServer | undefined;
  beforeAll(async () => {
    server = await startEmbedded({ replicaSet: false });
  });
  afterAll(() => server?.stop());
  const scratch = useScratch('standalone', () => server?.uri ?? '');

  test('takes a dry run, and refuses a run with the two lines that make it a replica set', async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertOne({ mail: 'A@x.test' });
    const before = await everything(db);
    const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })');
    const dry = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    expect([dry.code, dry.json]).toMatchObject([0, { wouldChange: 1, wouldFail: 0 }]);
    for (const args of [
      ['run', 'm1'],
      ['rollback', 'm1'],
    ]) {
      const result = await runCommand([...args, '--json'], { cwd, uri });
      expectRefusal(result, { exit: 2, code: 'GODWIT_STANDALONE', says: /wanted a replica set.*found a standalone/ });
      const { next } = errorOf(result);
      expect(next[0]).toContain('mongod --replSet rs0');
      expect(next[1]).toContain('rs.initiate(');
    }
    expect(await everything(db)).toEqual(before);
    expect(await hashOf(db, 'migrations')).toBeUndefined();
  });
});
