import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { carriedOut, sideBySide } from '../support/cases.js';
import { type CommandResult, runCommand, runJson } from '../support/command.js';
import { runProcessJson } from '../support/process.js';
import { makeMigration, makeProject } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

/** What stands in a field: its type; `?` for null as well; `[]` for a list of them. */
type Shape = string | { readonly [field: string]: Shape };

const RUN: Shape = {
  migration: 'string',
  runId: 'string',
  state: 'string',
  scanned: 'number',
  changed: 'number',
  inserted: 'number',
  deleted: 'number',
  unchanged: 'number',
  failed: 'number',
  batches: 'number',
  conflictsRetried: 'number',
  resumedFrom: 'object?',
  seconds: 'number',
  docsPerSecond: 'number',
  throttledSeconds: 'number',
};

const STATUS: Shape = {
  id: 'string',
  state: 'string',
  checksum: 'string',
  scanned: 'number',
  changed: 'number',
  inserted: 'number',
  deleted: 'number',
  unchanged: 'number',
  failed: 'number',
  total: 'number',
  startedAt: 'string',
  updatedAt: 'string',
  finishedAt: 'string?',
  cursor: 'object?',
  docsPerSecond: 'number?',
  etaSeconds: 'number?',
  etaLowSeconds: 'number?',
  etaHighSeconds: 'number?',
  etaUnknownBecause: 'string?',
  throttled: 'array',
};

const DRY: Shape = {
  migration: 'string',
  checksum: 'string',
  scanned: 'number',
  wouldChange: 'number',
  wouldInsert: 'number',
  wouldDelete: 'number',
  unchanged: 'number',
  wouldFail: 'number',
  fields: { mail: { set: 'number', unset: 'number', typeChange: 'number' } },
  samples: 'array',
  idempotent: 'boolean',
  deterministic: 'boolean',
  reversible: 'string',
  bytesDelta: 'number',
  uniqueCollisions: 'array',
  validationFailures: 'array',
  estimate: { seconds: 'number', auditBytes: 'number', oplogBytes: 'number' },
};

const BACK: Shape = {
  restored: 'number',
  removed: 'number',
  reinserted: 'number',
  keptFields: 'number',
  goneSince: 'number',
  noBefore: 'number',
  conflicts: 'number',
  conflictList: 'array',
  identical: 'boolean',
};

/** In this order, each on what the one before left. */
const VERBS: readonly (readonly [line: string, shape: Shape])[] = [
  ['run m1 --dry-run', DRY],
  ['dry-run m1', DRY],
  ['run m1 --limit 2', RUN],
  ['run m1', RUN],
  ['list', { migrations: { 0: STATUS } }],
  ['status m1', { migrations: { 0: STATUS } }],
  ['status m1 --watch', { migrations: { 0: STATUS } }],
  [
    'verify m1',
    { ok: 'boolean', checks: { 0: { name: 'string', ok: 'boolean', expected: 'string', found: 'string' } } },
  ],
  ['audit m1', { entries: { 0: { collection: 'string', fields: 'array' } } }],
  ['amend m1 --because why', { checksum: 'string' }],
  ['doctor', { checks: { 0: { name: 'string', ok: 'boolean', found: 'string' } }, ok: 'boolean' }],
  ['rollback m1 --dry-run', BACK],
  ['rollback m1', BACK],
];

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** Paths at which `value` is not of this shape. */
function misfits(value: unknown, shape: Shape, path = ''): string[] {
  if (typeof shape === 'string') {
    const found = typeOf(value);
    const isRight = found === shape.replace('?', '') || (shape.endsWith('?') && found === 'null');
    return isRight ? [] : [`${path}: wanted ${shape}, found ${found}`];
  }
  if (typeof value !== 'object' || value === null) return [`${path}: wanted an object, found ${typeOf(value)}`];
  return Object.entries(shape).flatMap(([name, inner]) =>
    misfits((value as Record<string, unknown>)[name], inner, `${path}.${name}`),
  );
}

const ESCAPE = '\u001b';
const UP = '(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })';
const people = (count: number): object[] => Array.from({ length: count }, (_, n) => ({ n, mail: `P${n}@x.test` }));

describe('--json', () => {
  const scratch = useScratch('json', () => inject('mongoUri'));

  test('is one document on stdout with the fields of the contract, of the right types; progress is on stderr', async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(people(20));
    const cwd = await makeMigration(UP);
    for (const [line, shape] of VERBS) {
      const result = await runJson(line.split(' '), { cwd, uri, env: { FORCE_COLOR: '0', NO_COLOR: '1' } });
      expect([line, misfits(result.json, shape)]).toEqual([line, []]);
      expect([line, result.stdout.endsWith('}\n'), result.stdout.includes(ESCAPE)]).toEqual([line, true, false]);
    }
  });

  test('of init, create and config needs no server', async () => {
    const cwd = await makeProject({});
    const init = await runJson(['init'], { cwd });
    expect([init.code, misfits(init.json, { created: { 0: 'string' }, kept: 'array' })]).toEqual([0, []]);
    const again = await runJson(['init'], { cwd });
    expect([again.code, again.json['created'], misfits(again.json, { kept: { 0: 'string' } })]).toEqual([0, [], []]);
    const create = await runJson(['create', 'Unify contacts'], { cwd });
    expect([create.code, misfits(create.json, { file: 'string', test: 'string' })]).toEqual([0, []]);
    const config = await runJson(['config'], { cwd });
    const row = { path: 'string', origin: 'string' };
    expect([config.code, misfits(config.json, { file: 'string', values: { 0: row } })]).toEqual([0, []]);
  });

  const ERRORS = [
    'rnu',
    'run',
    'run m1 --nonsense',
    'run m1 --limit x',
    'list',
    'status m1 --config nope.mjs',
    'create',
  ];
  const seen = carriedOut(ERRORS, async (line): Promise<CommandResult> => {
    const cwd = await makeProject({});
    return runCommand([...line.split(' '), '--json'], { cwd });
  });
  for (const line of ERRORS)
    test(`of an error is one document with code, message, next and details: godwit ${line}`, () => {
      const { error, ...others } = JSON.parse(seen(line).stdout) as Record<string, unknown>;
      expect(others).toEqual({});
      expect(misfits(error, { code: 'string', message: 'string', next: { 0: 'string' }, details: 'object' })).toEqual(
        [],
      );
      expect(seen(line).code).toBe(2);
    });

  test('is all that a process writes to stdout: what a migration prints goes to stderr', {
    tags: ['P10'],
  }, async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(people(3));
    const cwd = await makeMigration(
      "(doc) => { console.log('printed'); return { ...doc, mail: doc.mail.toLowerCase() }; }",
    );
    const { code, json, stderr } = await runProcessJson(['run', 'm1'], { cwd, uri });
    expect([code, json['state'], json['changed']]).toEqual([0, 'completed', 3]);
    expect(stderr).toContain('printed');
  });

  test('is of one outcome with the exit code of the process, which is 0 for what was done only', {
    tags: ['P10'],
  }, async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(people(3));
    const cwd = await makeMigration("(doc, { reject }) => (doc.n === 1 ? reject('no') : { ...doc, seen: true })");
    const failed = await runProcessJson(['run', 'm1'], { cwd, uri });
    expect([failed.code, failed.json['state']]).toEqual([1, 'failed']);
    const wrong = await runProcessJson(['rnu', 'm1'], { cwd, uri });
    expect([wrong.code, wrong.json]).toMatchObject([2, { error: { code: 'GODWIT_USAGE' } }]);
  });

  test('of the demo lists its stages', async () => {
    const { uri } = scratch.make();
    const { code, json } = await runProcessJson(['demo', '--docs', '200'], { cwd: await makeProject({}), uri });
    expect([code, json['ok'], misfits(json, { stages: { 0: { name: 'string', ok: 'boolean' } } })]).toEqual([
      0,
      true,
      [],
    ]);
  });
});

describe('what is not the result', () => {
  const scratch = useScratch('beside', () => inject('mongoUri'));

  test('is JSON lines on stderr with --progress ndjson, for every verb that goes on for long', async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(people(2_000));
    const cwd = await makeMigration(UP);
    const events: Record<string, readonly string[]> = {};
    for (const line of ['run m1 --dry-run', 'run m1', 'verify m1', 'rollback m1']) {
      const { code, stderr } = await runJson([...line.split(' '), '--progress', 'ndjson'], { cwd, uri });
      expect([line, code]).toEqual([line, 0]);
      const lines = stderr
        .trim()
        .split('\n')
        .map((text) => JSON.parse(text) as { event: string; at: string });
      expect(lines.every(({ at }) => !Number.isNaN(Date.parse(at)))).toBe(true);
      events[line] = [...new Set(lines.map(({ event }) => event))];
    }
    expect(events).toMatchObject({
      'run m1 --dry-run': ['dry-run:progress'],
      'run m1': expect.arrayContaining(['run:planned', 'run:state', 'run:batch']) as unknown,
      'verify m1': ['run:verify'],
      'rollback m1': expect.arrayContaining(['run:state', 'run:undo']) as unknown,
    });
  });

  test('is nothing with --progress none or --quiet, and never holds an escape byte in a pipe', async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(people(20));
    const cwd = await makeMigration(UP);
    const out = join(cwd, 'report.json');
    const lines = ['run m1 --dry-run', `run m1 --dry-run --out ${out}`, 'list', 'status m1', 'doctor', '--help', 'rnu'];
    const forms = lines.flatMap((line) => [`${line} --progress none`, `${line} --quiet`]);
    const results = await sideBySide(forms, async (line) => ({
      line,
      ...(await runCommand(line.split(' '), { cwd, uri })),
    }));
    for (const { line, stdout, stderr } of results) {
      if (!line.startsWith('rnu')) expect([line, stderr]).toEqual([line, '']);
      expect([line, (stdout + stderr).includes(ESCAPE)]).toEqual([line, false]);
    }
  });
});
