import { describe, expect, inject, test } from 'vitest';
import { carriedOut, sideBySide } from '../support/cases.js';
import { type CommandResult, runCommand, runJson } from '../support/command.js';
import { makeMigration } from '../support/project.js';
import { expectRefusal, expectRefusalInWords, type Refusal } from '../support/refusal.js';
import { everything, useScratch } from '../support/scratch.js';

/** Every verb that looks at the state or writes to it. */
const VERBS = [
  'list',
  'status',
  'status m1',
  'run m1 --dry-run',
  'run m1',
  'retry m1',
  'verify m1',
  'rollback m1',
  'rollback m1 --dry-run',
  'audit m1',
  'amend m1 --because why',
  'doctor',
];

interface Case extends Refusal {
  readonly title: string;
  readonly documents: readonly object[];
  /** Verbs that are tried; a few stand for all where the check is the same one. */
  readonly verbs: readonly string[];
}

const FOREIGN = { exit: 2, code: 'GODWIT_FOREIGN_STATE' } as const;
const FOUND = /wanted Godwit's own state in \S+\.migrations, found documents of another tool/;
const SOME = ['list', 'run m1', 'rollback m1 --dry-run'];

const CASES: readonly Case[] = [
  {
    title: 'umzug',
    documents: [{ migrationName: '2020-init.js' }, { migrationName: '2021-more.js' }],
    verbs: VERBS,
    ...FOREIGN,
    says: FOUND,
  },
  {
    title: 'ts-migrate-mongoose',
    documents: [{ name: 'init', state: 'up', filename: '1-init.ts', createdAt: new Date(0) }],
    verbs: SOME,
    ...FOREIGN,
    says: FOUND,
  },
  {
    title: 'migrate-mongo',
    documents: [{ fileName: '1-init.js', appliedAt: new Date(0), fileHash: 'x' }],
    verbs: SOME,
    ...FOREIGN,
    says: FOUND,
  },
  {
    title: "another tool beside Godwit's",
    documents: [{ godwit: 1, migration: 'm0' }, { migrationName: 'x' }],
    verbs: SOME,
    ...FOREIGN,
    says: FOUND,
  },
  {
    title: 'a newer Godwit',
    documents: [{ _id: 'r-1', godwit: 2, migration: 'm1', current: true }],
    verbs: VERBS,
    exit: 2,
    code: 'GODWIT_NEWER_STATE',
    says: /wanted state of format 1 in \S+\.migrations, found format 2/,
  },
];

describe('a state that is not ours to use', () => {
  const scratch = useScratch('foreign', () => inject('mongoUri'));
  interface Seen {
    readonly results: readonly CommandResult[];
    readonly before: unknown;
    readonly after: unknown;
  }
  const seen = carriedOut(CASES, async ({ documents, verbs }): Promise<Seen> => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertOne({ mail: 'A@x.test' });
    await db.collection('migrations').insertMany([...documents]);
    const before = await everything(db);
    const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })');
    const results = await sideBySide(verbs, (verb) => runCommand([...verb.split(' '), '--json'], { cwd, uri }));
    return { results, before, after: await everything(db) };
  });

  const expectRefused = (one: Case): void => {
    const { results, before, after } = seen(one);
    expect(results).toHaveLength(one.verbs.length);
    for (const result of results) {
      expectRefusal(result, one);
      expectRefusalInWords(result);
    }
    expect(after).toEqual(before);
  };
  const isNewer = ({ code }: Case): boolean => code === 'GODWIT_NEWER_STATE';

  for (const one of CASES.filter((other) => !isNewer(other)))
    test(`is refused by every verb, and nothing is changed: documents of ${one.title}`, { tags: ['F62'] }, () => {
      expectRefused(one);
    });

  for (const one of CASES.filter(isNewer))
    test(`is refused by every verb, and nothing is changed: that of ${one.title}`, { tags: ['F55', 'P10'] }, () => {
      expectRefused(one);
    });

  test("leaves another tool's documents alone under a name of its own", async () => {
    const { db, uri } = scratch.make();
    await db.collection('people').insertOne({ mail: 'A@x.test' });
    await db.collection('migrations').insertOne({ migrationName: '2020-init.js' });
    const before = await everything(db);
    const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })');
    const env = { GODWIT_STATE_PREFIX: 'godwit_state' };
    const run = await runJson(['run', 'm1'], { cwd, uri, env });
    expect([run.code, run.json]).toMatchObject([0, { state: 'completed', changed: 1 }]);
    const [verify, audit] = await sideBySide(['verify', 'audit'], (verb) => runJson([verb, 'm1'], { cwd, uri, env }));
    expect([verify?.code, audit?.json]).toMatchObject([0, { total: 1 }]);
    const back = await runJson(['rollback', 'm1'], { cwd, uri, env });
    expect([back.code, back.json]).toMatchObject([0, { restored: 1, identical: true }]);
    const after = await everything(db);
    expect(after).toMatchObject(before);
    const added = Object.keys(after).filter((name) => !(name in before));
    expect(added.every((name) => /^godwit_state(_|$)/.test(name))).toBe(true);
  });
});
