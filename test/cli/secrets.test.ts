import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Binary, Code, Decimal128, type Document, Double, EJSON, Long, Timestamp } from 'bson';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { makeProject } from '../support/project.js';
import { type ScratchDatabase, useScratch } from '../support/scratch.js';

/** A value that an author quotes in an error, and what of it must not be seen. */
interface Quote {
  readonly title: string;
  readonly value: unknown;
  /** Body of `up`. */
  readonly up: string;
  readonly secret: string;
}

const thrown = (quoted: string): string => `throw new Error('bad value ' + ${quoted})`;

const QUOTES: readonly Quote[] = [
  { title: 'a text', value: 'Zq01 canary', up: thrown('doc.v'), secret: 'zq01' },
  { title: 'a text in upper case', value: 'Zq02 canary', up: thrown('doc.v.toUpperCase()'), secret: 'zq02' },
  { title: 'a nested text', value: { a: [{ b: 'Zq03 canary' }] }, up: thrown('doc.v.a[0].b'), secret: 'zq03' },
  { title: 'an array', value: ['Zq04 a', 'Zq04 b'], up: thrown('doc.v'), secret: 'zq04' },
  { title: 'an integer', value: 730_500_119, up: thrown('doc.v'), secret: '730500119' },
  { title: 'a double', value: 7305.06119, up: thrown('doc.v'), secret: '7305.06119' },
  {
    title: 'a long',
    value: Long.fromString('7305070707070707119'),
    up: thrown('doc.v'),
    secret: '7305070707070707119',
  },
  { title: 'a decimal', value: Decimal128.fromString('730508.119'), up: thrown('doc.v'), secret: '730508.119' },
  { title: 'a document as JSON', value: { a: 'Zq09 canary' }, up: thrown('JSON.stringify(doc)'), secret: 'zq09' },
  { title: 'a text as the reason of a rejection', value: 'Zq10 canary', up: 'return reject(doc.v)', secret: 'zq10' },
  { title: 'a text thrown as it is', value: 'Zq11 canary', up: 'throw doc.v', secret: 'zq11' },
  { title: 'a text in an object that is thrown', value: 'Zq12 canary', up: 'throw { v: doc.v }', secret: 'zq12' },
  { title: 'a text in an error of V8', value: 'Zq13canary', up: 'return doc.nothing[doc.v].x', secret: 'zq13' },
  {
    title: 'a text in a rejected promise',
    value: 'Zq14 canary',
    up: `return Promise.reject(new Error(doc.v))`,
    secret: 'zq14',
  },
  {
    title: 'a text in a getter',
    value: 'Zq15 canary',
    up: `return { ...doc, get x() { throw new Error(doc.v); } }`,
    secret: 'zq15',
  },
  { title: 'a text of 40 KB', value: `Zq16 ${'canary '.repeat(6_000)}`, up: `return reject('no')`, secret: 'zq16' },
  {
    title: 'a text of several lines',
    value: 'Zq17 canary\nand more',
    up: thrown('doc.v'),
    secret: 'zq17',
  },
  {
    title: 'a text longer than a message may be',
    value: `Zq18 ${'canary '.repeat(90)}`,
    up: thrown('doc.v'),
    secret: 'zq18',
  },
  {
    title: 'a part of a text',
    value: 'Zq19@canary.test',
    up: thrown(`doc.v.split('@')[0]`),
    secret: 'zq19',
  },
  {
    title: 'a text with quotes, as JSON',
    value: 'Zq20 "canary"',
    up: thrown('JSON.stringify(doc.v)'),
    secret: 'zq20',
  },
  {
    title: 'a date',
    value: new Date('1987-06-21T04:03:02Z'),
    up: thrown('doc.v.toISOString()'),
    secret: '1987-06-21',
  },
  { title: 'a rounded number', value: 730_522.25119, up: thrown('doc.v.toFixed(1)'), secret: '730522' },
  {
    title: 'bytes as a text',
    value: new Binary(Buffer.from('Zq23 canary')),
    up: thrown(`doc.v.toString('utf8')`),
    secret: 'zq23',
  },
  {
    title: 'a text as the name of an error',
    value: 'Zq24canary',
    up: `throw Object.assign(new Error('x'), { name: doc.v })`,
    secret: 'zq24',
  },
];

/** Values of every kind in documents that are migrated, that a unique index refuses, and that a validator refuses. */
const GOOD = ['Zqgood', '840100', '1991-07-'];
const values = (n: number): Document => ({
  _id: `Zqident${n}`,
  text: `Zqgood${n}@x.test`,
  int: 84_010_000 + n,
  double: new Double(840_100.5 + n),
  long: Long.fromString(`840100111111111111${n}`),
  decimal: Decimal128.fromString(`840100.${n}`),
  date: new Date(`1991-07-0${n + 1}T00:00:00Z`),
  bytes: new Binary(Buffer.from(`Zqgood${n}`)),
  code: new Code(`Zqgood${n}`),
  stamp: new Timestamp({ t: 840_100, i: n }),
  pattern: /Zqgood/i,
  nested: { deep: { text: `Zqgood${n}` } },
  list: [`Zqgood${n}`, { text: 'Zqgood' }],
});

const step = (collection: string, up: string): string =>
  `transform({ collection: '${collection}', up: (doc, { reject, keep }) => { ${up} } }),`;

const MIGRATION = `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'quotes', steps: [
${QUOTES.map(({ up }, at) => step(`c${at}`, up)).join('\n')}
${step('good', `if (doc.was) return doc; const { _id, ...rest } = doc; return { _id, was: Object.fromEntries(Object.keys(rest).map((name) => [name, keep(name)])) };`)}
${step('unique', `return { ...doc, text: 'Zqgood' };`)}
${step('invalid', `return { ...doc, text: doc.text + '!', int: -84010000 };`)}
] });
`;

/** With each: what people see, and with --json. */
const VERBS = [
  'run m1 --dry-run --verbose',
  'run m1 --dry-run --show-values',
  'run m1 --max-failures 100 --verbose',
  'retry m1 --max-failures 100 --progress ndjson',
  'list',
  'status m1 --verbose',
  'verify m1',
  'audit m1 --show-values',
  'rollback m1 --dry-run',
  'rollback m1',
];

describe('values of documents', { tags: ['P11'] }, () => {
  const scratch = useScratch('secrets', () => inject('mongoUri'));
  let output = '';
  let reports = '';
  let state = '';
  const codes: unknown[] = [];

  async function fill({ db }: ScratchDatabase): Promise<void> {
    for (const [at, { value }] of QUOTES.entries()) await db.collection(`c${at}`).insertOne({ v: value });
    await db.createCollection('invalid', { validator: { $jsonSchema: { properties: { int: { minimum: 0 } } } } });
    await db.collection('unique').createIndex({ text: 1 }, { unique: true });
    for (const name of ['good', 'unique', 'invalid'])
      await db.collection<Document>(name).insertMany([0, 1, 2].map(values));
  }

  beforeAll(async () => {
    const database = scratch.make();
    await fill(database);
    const cwd = await makeProject({ 'scripts/migrations/m1.mjs': MIGRATION });
    for (const verb of VERBS)
      for (const form of verb.startsWith('rollback m1') || verb.startsWith('run m1 --max') ? [[]] : [[], ['--json']]) {
        const { code, stdout, stderr } = await runCommand([...verb.split(' '), ...form], { cwd, uri: database.uri });
        codes.push(code);
        output += `\n$ ${verb}\n${stdout}${stderr}`;
      }
    const folder = join(cwd, '.godwit/reports');
    for (const name of await readdir(folder)) reports += await readFile(join(folder, name), 'utf8');
    const omitted = { cursor: 0, range: 0, resumeCursor: 0, strays: 0 };
    for (const name of ['migrations', 'migrations_chunks'])
      state += EJSON.stringify(await database.db.collection(name).find({}, { projection: omitted }).toArray());
  });

  test('are there to be found, and every verb had something to say', () => {
    expect(codes).toEqual([4, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 6, 6, 0, 0, 0, 0]);
    expect(output).toContain('GODWIT_DUPLICATE');
    expect(output).toContain('GODWIT_VALIDATION');
    expect(output).toContain('values are shown on a terminal only');
    expect(output).toMatch(/"x{2,}|Xx/);
    expect(reports).toContain('"samples"');
    expect(state).toContain('"migration":"m1"');
  });

  for (const { title, secret } of QUOTES)
    test(`are seen nowhere when an error of up() quotes ${title}`, () => {
      const seen = `${output}${reports}${state}`.toLowerCase();
      expect(seen.split('\n').filter((line) => line.includes(secret))).toEqual([]);
    });

  test('are shapes in samples, in the audit, and in what a unique index or a validator says', () => {
    const lines = `${output}\n${reports}\n${state}`.split('\n');
    for (const secret of GOOD) expect(lines.filter((line) => line.includes(secret))).toEqual([]);
  });

  test('that are text _ids are seen on a terminal only; the state keeps them where a run must go on', () => {
    const lines = `${output}\n${reports}\n${state}`.split('\n');
    expect(lines.filter((line) => line.includes('Zqident'))).toEqual([]);
  });
});
