import { describe, expect, inject, test } from 'vitest';
import { carriedOut } from '../support/cases.js';
import { type CommandResult, runCommand, runJson } from '../support/command.js';
import { makeMigration, makeProject } from '../support/project.js';
import { expectRefusal } from '../support/refusal.js';
import { everything, hashOf, useScratch } from '../support/scratch.js';

/** A transform that no document gets through. */
interface Case {
  readonly title: string;
  readonly up: string;
  readonly code: string;
  readonly says: RegExp;
  /** The failure has a place in the author's file. */
  readonly isLocated?: true;
}

const THREW = 'GODWIT_TRANSFORM_THREW';
const RETURN = 'GODWIT_TRANSFORM_RETURN';
const VALUE = 'GODWIT_TRANSFORM_VALUE';
const MUTATES = 'GODWIT_TRANSFORM_MUTATES';
const ID = 'GODWIT_TRANSFORM_ID';

const CASES: readonly Case[] = [
  {
    title: 'throws',
    up: `() => { throw new Error('boom'); }`,
    code: THREW,
    says: /wanted a document from up\(\), found Error: boom/,
    isLocated: true,
  },
  { title: 'throws a text', up: `() => { throw 'boom'; }`, code: THREW, says: /wanted a document.*boom/ },
  {
    title: 'throws what has no text',
    up: `() => { throw Object.create(null); }`,
    code: THREW,
    says: /wanted a document from up\(\), found/,
  },
  {
    title: 'throws an error whose message is no text',
    up: `() => { throw Object.assign(new Error('x'), { message: { a: 1 } }); }`,
    code: THREW,
    says: /wanted a document from up\(\), found/,
  },
  {
    title: 'calls itself without an end',
    up: `() => { const again = () => again(); again(); }`,
    code: THREW,
    says: /Maximum call stack/,
  },
  {
    title: 'returns a promise',
    up: `async (doc) => ({ ...doc, seen: true })`,
    code: 'GODWIT_TRANSFORM_ASYNC',
    says: /wanted a document from up\(\), found a promise/,
  },
  {
    title: 'returns a promise that is rejected',
    up: `async () => { throw new Error('later'); }`,
    code: 'GODWIT_TRANSFORM_ASYNC',
    says: /wanted a document from up\(\), found a promise/,
  },
  { title: 'returns nothing', up: `() => {}`, code: RETURN, says: /found nothing/ },
  { title: 'returns null', up: `() => null`, code: RETURN, says: /found null/ },
  { title: 'returns an array', up: `(doc) => [doc]`, code: RETURN, says: /found an array/ },
  { title: 'returns a text', up: `(doc) => doc.mail`, code: RETURN, says: /found a string/ },
  {
    title: 'returns an instance of a class',
    up: `(doc) => Object.assign(new (class Person {})(), doc)`,
    code: RETURN,
    says: /found an instance of Person/,
  },
  {
    title: 'returns a document whose getter throws',
    up: `(doc) => ({ ...doc, get seen() { throw new Error('boom'); } })`,
    code: THREW,
    says: /boom/,
  },
  {
    title: 'puts a function inside',
    up: `(doc) => ({ ...doc, deep: { f: () => 1 } })`,
    code: VALUE,
    says: /deep\.f is a function, which cannot be stored/,
  },
  {
    title: 'puts an instance of a class inside',
    up: `(doc) => ({ ...doc, owner: new (class Owner {})() })`,
    code: VALUE,
    says: /owner is an instance of class Owner/,
  },
  {
    title: 'puts a promise inside',
    up: `(doc) => ({ ...doc, owner: Promise.resolve(1) })`,
    code: VALUE,
    says: /owner is a promise/,
  },
  {
    title: 'puts a cycle inside',
    up: `(doc) => { const out = { ...doc }; out.self = out; return out; }`,
    code: VALUE,
    says: /self.* a cycle, which cannot be stored/,
  },
  {
    title: 'puts an integer of more than 64 bits inside',
    up: `(doc) => ({ ...doc, n: 2n ** 80n })`,
    code: VALUE,
    says: /^n is /,
  },
  {
    title: 'puts an invalid date inside',
    up: `(doc) => ({ ...doc, at: new Date('nope') })`,
    code: VALUE,
    says: /^at is /,
  },
  {
    title: 'puts a name with a null byte inside',
    up: `(doc) => ({ ...doc, 'a\\u0000b': 1 })`,
    code: VALUE,
    says: /null byte/,
  },
  {
    title: 'changes _id',
    up: `(doc) => ({ ...doc, _id: doc._id + 100 })`,
    code: ID,
    says: /wanted the same _id from up\(\), found another/,
  },
  {
    title: 'drops _id',
    up: `({ _id, ...doc }) => ({ ...doc, seen: true })`,
    code: ID,
    says: /wanted the same _id from up\(\), found none/,
  },
  {
    title: 'changes a field of its input',
    up: `(doc) => { doc.mail = 'x'; return doc; }`,
    code: MUTATES,
    says: /wanted up\(\) to leave its input as it is, found: .*'mail'/,
    isLocated: true,
  },
  {
    title: 'removes a field of its input',
    up: `(doc) => { delete doc.mail; return doc; }`,
    code: MUTATES,
    says: /Cannot delete property 'mail'/,
    isLocated: true,
  },
  {
    title: 'changes a nested field of its input',
    up: `(doc) => { doc.deep.a = 2; return doc; }`,
    code: MUTATES,
    says: /'a'/,
    isLocated: true,
  },
  {
    title: 'adds to an array of its input',
    up: `(doc) => { doc.list.push(2); return doc; }`,
    code: MUTATES,
    says: /leave its input as it is/,
    isLocated: true,
  },
  {
    title: 'never returns',
    up: `() => { for (;;); }`,
    code: 'GODWIT_TRANSFORM_TIMEOUT',
    says: /wanted up\(\) to return within 300 ms, found that it did not/,
  },
  {
    title: 'is caught in a regular expression',
    up: `() => /^(a+)+$/.test('a'.repeat(40) + 'b')`,
    code: 'GODWIT_TRANSFORM_TIMEOUT',
    says: /within 300 ms/,
  },
  {
    title: 'rejects the document',
    up: `(doc, { reject }) => reject('no owner')`,
    code: 'GODWIT_REJECTED',
    says: /up\(\) rejected it: no owner/,
  },
  {
    title: 'rejects the document without a reason',
    up: `(doc, { reject }) => reject()`,
    code: 'GODWIT_REJECTED',
    says: /^up\(\) rejected it(?!: undefined)/,
  },
];

interface Person {
  _id: number;
  mail: string;
  deep?: object;
  list?: number[];
  at?: Date;
}

const env = { GODWIT_TRANSFORM_TIMEOUT_MS: '300' };

const person = (): Person => ({ _id: 1, mail: 'A@x.test', deep: { a: 1 }, list: [1], at: new Date(0) });

describe('a transform that', () => {
  const scratch = useScratch('transform', () => inject('mongoUri'));
  interface Seen {
    readonly run: CommandResult;
    readonly isAsBefore: boolean;
    readonly quarantined: number;
  }
  const seen = carriedOut(CASES, async ({ up }): Promise<Seen> => {
    const { db, uri } = scratch.make();
    await db.collection<Person>('people').insertOne(person());
    const before = await hashOf(db, 'people');
    const cwd = await makeMigration(up);
    const run = await runCommand(['run', 'm1', '--json'], { cwd, uri, env });
    return {
      run,
      isAsBefore: (await hashOf(db, 'people')) === before,
      quarantined: await db.collection('migrations_failures').countDocuments(),
    };
  });

  const expectStopped = (one: Case): void => {
    const { run, isAsBefore, quarantined } = seen(one);
    expectRefusal(run, { exit: 1, code: one.code, says: one.says });
    expect(JSON.parse(run.stdout)).toMatchObject({
      state: 'failed',
      changed: 0,
      failed: 1,
      error: { details: { migration: 'm1', document: { $numberInt: '1' } } },
    });
    if (one.isLocated) expect(run.stdout).toMatch(/"at": ".*m1\.mjs:4:\d+"/);
    expect({ isAsBefore, quarantined }).toEqual({ isAsBefore: true, quarantined: 1 });
  };
  const isSlow = ({ code }: Case): boolean => code === 'GODWIT_TRANSFORM_TIMEOUT';

  for (const one of CASES.filter((other) => !isSlow(other)))
    test(`${one.title} stops the run and leaves its document as it is`, { tags: ['F51', 'P10'] }, () => {
      expectStopped(one);
    });

  for (const one of CASES.filter(isSlow))
    test(`${one.title} stops the run and leaves its document as it is`, { tags: ['F13', 'P10'] }, () => {
      expectStopped(one);
    });

  test('does any of that is reported by a dry run, all in one', { tags: ['F51', 'P1'] }, async () => {
    const { db, uri } = scratch.make();
    const steps = CASES.map(({ up }, at) => `transform({ collection: 'c${at}', up: ${up} }),`);
    for (const at of CASES.keys()) await db.collection<Person>(`c${at}`).insertOne(person());
    const before = await everything(db);
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'all', steps: [
${steps.join('\n')}
] });
`,
    });
    const { code, json } = await runJson(['run', 'm1', '--dry-run'], { cwd, uri, env });
    const { failures } = json as { failures: { code: string; message: string; count: number; at?: string }[] };
    expect([code, json]).toMatchObject([4, { wouldChange: 0, wouldFail: CASES.length }]);
    expect(failures.map((failure) => failure.code)).toEqual(CASES.map((one) => one.code));
    for (const [at, one] of CASES.entries()) {
      expect(failures[at]?.message).toMatch(one.says);
      if (one.isLocated) expect(failures[at]?.at).toMatch(new RegExp(`m1\\.mjs:${at + 3}:\\d+$`));
    }
    expect(await everything(db)).toEqual(before);
  });
});
