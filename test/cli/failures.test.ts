import { type Db, Decimal128, type Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { carriedOut } from '../support/cases.js';
import { runCommand, runJson } from '../support/command.js';
import { makeMigration } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

type Person = Document & { readonly _id: number };

/** Documents that the server refuses. The dry run must foresee them, or say that it cannot. */
interface Case {
  readonly title: string;
  /** Before the documents are there. */
  readonly prepare: (db: Db) => Promise<unknown>;
  readonly documents: readonly Person[];
  readonly up: string;
  /** `_id`s that a run with one worker quarantines. */
  readonly refused: readonly number[];
  readonly code: 'GODWIT_DUPLICATE' | 'GODWIT_VALIDATION';
  /** `told`: the dry run does not foresee it, and says so. Default: it names every one. */
  readonly foreseen?: 'told';
}

const DUPLICATE = 'GODWIT_DUPLICATE' as const;
const unique =
  (key: string, options = {}) =>
  (db: Db) =>
    db.collection('people').createIndex({ [key]: 1 }, { unique: true, ...options });
const upTo = (count: number, of: (_id: number) => object): Person[] =>
  Array.from({ length: count }, (_, at) => ({ _id: at + 1, ...of(at + 1) }));

const CASES: readonly Case[] = [
  {
    title: 'a key that a document has which is not changed',
    prepare: unique('mail'),
    documents: [
      { _id: 1, mail: 'a' },
      { _id: 2, mail: 'A' },
      { _id: 3, mail: 'B' },
      { _id: 4, mail: 'C' },
      { _id: 5, mail: 'c' },
    ],
    up: `(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })`,
    refused: [2, 4],
    code: DUPLICATE,
  },
  {
    title: 'a key that several documents are to have',
    prepare: unique('mail'),
    documents: upTo(60, (n) => ({ mail: `m${n}` })),
    up: `(doc) => (doc._id % 20 === 7 ? { ...doc, mail: 'same' } : { ...doc, v: 2 })`,
    refused: [27, 47],
    code: DUPLICATE,
  },
  {
    title: 'no key where one document may have none',
    prepare: unique('mail'),
    documents: upTo(3, (n) => ({ mail: `m${n}` })),
    up: `({ mail, ...doc }) => doc`,
    refused: [2, 3],
    code: DUPLICATE,
  },
  {
    title: 'no key in a sparse index: none',
    prepare: unique('mail', { sparse: true }),
    documents: upTo(3, (n) => ({ mail: `m${n}` })),
    up: `({ mail, ...doc }) => doc`,
    refused: [],
    code: DUPLICATE,
  },
  {
    title: 'keys that move away first: none',
    prepare: unique('n'),
    documents: upTo(5, (n) => ({ n })),
    up: `(doc) => (doc.v ? doc : { ...doc, n: doc.n - 1, v: 2 })`,
    refused: [],
    code: DUPLICATE,
  },
  {
    title: 'keys that move away too late',
    prepare: unique('n'),
    documents: upTo(5, (n) => ({ n })),
    up: `(doc) => (doc.v ? doc : { ...doc, n: doc.n + 1, v: 2 })`,
    refused: [1, 2, 3, 4],
    code: DUPLICATE,
  },
  {
    title: 'two documents that exchange their keys',
    prepare: unique('n'),
    documents: [
      { _id: 1, n: 2 },
      { _id: 2, n: 1 },
    ],
    up: `(doc) => ({ ...doc, n: doc._id })`,
    refused: [1, 2],
    code: DUPLICATE,
  },
  {
    title: 'numbers that are equal though of other types',
    prepare: unique('n'),
    documents: [
      { _id: 1, n: '1' },
      { _id: 2, n: '2' },
      { _id: 3, n: Decimal128.fromString('1') },
    ],
    up: `(doc) => (typeof doc.n === 'string' ? { ...doc, n: Number(doc.n) } : doc)`,
    refused: [1],
    code: DUPLICATE,
  },
  {
    title: 'a partial index',
    prepare: unique('mail', { partialFilterExpression: { mail: { $exists: true } } }),
    documents: upTo(2, (n) => ({ mail: `m${n}` })),
    up: `(doc) => ({ ...doc, mail: 'same' })`,
    refused: [2],
    code: DUPLICATE,
    foreseen: 'told',
  },
  {
    title: 'a collated index',
    prepare: unique('mail', { collation: { locale: 'en', strength: 2 } }),
    documents: [
      { _id: 1, mail: 'a' },
      { _id: 2, mail: 'b' },
    ],
    up: `(doc) => (doc._id === 2 ? { ...doc, mail: 'A' } : doc)`,
    refused: [2],
    code: DUPLICATE,
    foreseen: 'told',
  },
  {
    title: 'an index over arrays',
    prepare: unique('tags'),
    documents: [
      { _id: 1, tags: ['a'] },
      { _id: 2, tags: ['A'] },
    ],
    up: `(doc) => ({ ...doc, tags: doc.tags.map((tag) => tag.toLowerCase()) })`,
    refused: [2],
    code: DUPLICATE,
    foreseen: 'told',
  },
  {
    title: 'a validator with an expression',
    prepare: (db) => db.createCollection('people', { validator: { $expr: { $lte: ['$low', '$high'] } } }),
    documents: upTo(30, (n) => ({ low: n, high: 20 + n })),
    up: `(doc) => (doc._id % 10 === 3 ? { ...doc, high: 0 } : { ...doc, v: 2 })`,
    refused: [3, 13, 23],
    code: 'GODWIT_VALIDATION',
  },
  {
    title: 'a validator that wants a field which is removed',
    prepare: (db) => db.createCollection('people', { validator: { $jsonSchema: { required: ['mail'] } } }),
    documents: upTo(5, (n) => ({ mail: `m${n}` })),
    up: `({ mail, ...doc }) => (doc._id === 4 ? doc : { ...doc, mail, v: 2 })`,
    refused: [4],
    code: 'GODWIT_VALIDATION',
  },
];

interface Report {
  readonly uniqueCollisions: readonly { readonly _id: { readonly $numberInt: string } }[];
  readonly validationFailures: readonly { readonly _id: { readonly $numberInt: string } }[];
  readonly notChecked: readonly string[];
}

describe('documents that a unique index or a validator refuses', () => {
  const scratch = useScratch('failures', () => inject('mongoUri'));
  const seen = carriedOut(CASES, async ({ prepare, documents, up }) => {
    const { db, uri } = scratch.make();
    await prepare(db);
    const people = db.collection<Person>('people');
    await people.insertMany([...documents]);
    const cwd = await makeMigration(up);
    const dry = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    const run = await runJson(['run', 'm1', '--max-failures', '100', '--workers', '1'], { cwd, uri });
    const quarantined = await db.collection('migrations_failures').find().sort({ documentId: 1 }).toArray();
    const left = await people.find({ _id: { $in: quarantined.map(({ documentId }) => Number(documentId)) } }).toArray();
    const audited = await db
      .collection('migrations_audit')
      .aggregate<{ n: number }>([{ $group: { _id: null, n: { $sum: '$n' } } }])
      .toArray();
    return { dry, run, quarantined, left, audited: audited[0]?.n ?? 0 };
  });

  const expectQuarantined = (one: Case): void => {
    const { run, quarantined, left, audited } = seen(one);
    expect(run.code).toBe(one.refused.length > 0 ? 4 : 0);
    expect(run.json).toMatchObject({ state: 'completed', failed: one.refused.length, changed: audited });
    expect(quarantined.map(({ documentId }) => Number(documentId))).toEqual(one.refused);
    expect(quarantined.every(({ code }) => code === one.code)).toBe(true);
    expect(left).toEqual(one.documents.filter(({ _id }) => left.some((other) => other._id === _id)));
  };
  const expectForeseen = (one: Case): void => {
    const { json, code } = seen(one).dry;
    const { uniqueCollisions, validationFailures, notChecked } = json as unknown as Report;
    const foreseen = [...uniqueCollisions, ...validationFailures].map(({ _id }) => Number(_id.$numberInt));
    if (one.foreseen === 'told') expect(notChecked).toHaveLength(1);
    else {
      expect([...foreseen].sort((a, b) => a - b)).toEqual(one.refused);
      expect(code).toBe(one.refused.length > 0 ? 4 : 0);
    }
  };
  const foreseen = ({ foreseen: how }: Case): string => (how === 'told' ? ', or told to be unforeseen' : '');

  describe('by an index', { tags: ['F42'] }, () => {
    for (const one of CASES.filter(({ code }) => code === DUPLICATE)) {
      test(`are quarantined once and as they were, and the others are written once: ${one.title}`, () =>
        expectQuarantined(one));
      test(`are foreseen by the dry run${foreseen(one)}: ${one.title}`, () => expectForeseen(one));
    }
  });

  describe('by a validator', { tags: ['F43'] }, () => {
    for (const one of CASES.filter(({ code }) => code !== DUPLICATE)) {
      test(`are quarantined once and as they were, and the others are written once: ${one.title}`, () =>
        expectQuarantined(one));
      test(`are foreseen by the dry run${foreseen(one)}: ${one.title}`, () => expectForeseen(one));
    }
  });
});

describe('a dry run of documents that grow', () => {
  const scratch = useScratch('grow', () => inject('mongoUri'));

  test('asks the validator in portions that a message can hold', async () => {
    const { db, uri } = scratch.make();
    await db.createCollection('people', { validator: { $jsonSchema: { required: ['n'] } } });
    await db.collection('people').insertMany(Array.from({ length: 500 }, (_, n) => ({ n })));
    const cwd = await makeMigration(`(doc) => ({ ...doc, more: 'y'.repeat(40_000) })`);
    const { code, json } = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    expect([code, json]).toMatchObject([0, { wouldChange: 500, validationFailureCount: 0 }]);
  });

  test('asks for the holders of keys in portions that a message can hold', async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').createIndex({ text: 1 }, { unique: true });
    await db.collection('people').insertMany(Array.from({ length: 500 }, (_, n) => ({ text: `${n}` })));
    const cwd = await makeMigration(`(doc) => ({ ...doc, text: doc.text.padEnd(40_000, 'y') })`);
    const { code, json } = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    expect([code, json]).toMatchObject([0, { wouldChange: 500, uniqueCollisionCount: 0 }]);
  });
});

describe('a document that a unique index refuses', () => {
  const scratch = useScratch('holder', () => inject('mongoUri'));

  test('is told with the one that has its key', { tags: ['F42', 'P11'] }, async () => {
    const { db, uri } = scratch.make();
    const people = db.collection<{ _id: number; mail: string }>('people');
    await people.createIndex({ mail: 1 }, { unique: true });
    await people.insertMany([
      { _id: 7, mail: 'ann@x.test' },
      { _id: 8, mail: 'ANN@x.test' },
    ]);
    const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })');
    const run = await runCommand(['run', 'm1'], { cwd, uri });
    expect(run.code).toBe(1);
    const status = await runCommand(['status', 'm1'], { cwd, uri });
    expect(status.stdout).toContain('first _id 8; _id 7 has its key');
    expect(`${run.stdout}${run.stderr}${status.stdout}`).not.toContain('@x.test');
  });
});

describe('a validator that only warns', () => {
  const scratch = useScratch('warns', () => inject('mongoUri'));

  test('is no reason for verify to doubt a run that dry run and run called right', async () => {
    const { db, uri } = scratch.make();
    await db.createCollection('people', { validator: { n: { $lt: 10 } }, validationAction: 'warn' });
    await db.collection('people').insertMany(Array.from({ length: 5 }, (_, n) => ({ n })));
    const cwd = await makeMigration(`(doc) => ({ ...doc, n: doc.n < 100 ? doc.n + 100 : doc.n })`);
    expect((await runJson(['run', 'm1', '--dry-run'], { cwd, uri })).code).toBe(0);
    expect((await runJson(['run', 'm1'], { cwd, uri })).code).toBe(0);
    const verified = await runJson(['verify', 'm1'], { cwd, uri });
    expect(verified.code).toBe(0);
    expect(verified.json['checks']).toContainEqual(
      expect.objectContaining({ name: 'people: documents that the validator only warns of', ok: true, found: 5 }),
    );
    const ids = await db.collection('people').distinct('_id');
    const { stdout } = await runCommand(['verify', 'm1'], { cwd, uri });
    for (const id of ids) expect(stdout).toContain(String(id));
  });
});
