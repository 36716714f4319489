/**
 * What `godwit create` writes: the name of a migration's file, the file, and its test. Texts only; nothing is read or
 * written here.
 *
 * A new migration names no collection that exists, so that it is refused (GODWIT_TARGET) until its author has edited it.
 */
import { GodwitError } from '../errors.js';
import { didYouMean } from '../kernel/nearest.js';

/** The kinds of migration that there is a template for. */
export const MIGRATION_KINDS = ['transform', 'pipeline'] as const;
export type MigrationKind = (typeof MIGRATION_KINDS)[number];

/** Longest name in a file's name, in characters. */
const MAX_NAME = 80;

/** What a name must not hold, and what to call it. */
const ODD_NAMES: readonly (readonly [RegExp, string])[] = [
  [/[/\\]/, 'a path'],
  [/\p{Cc}/u, 'a control character'],
  [/\.[cm]?[jt]s$/i, "a file's extension"],
  [/^\d{8}T\d{4}-/, 'a date, which `create` puts in front by itself'],
];

function refuseName(found: string): GodwitError {
  return new GodwitError('GODWIT_USAGE', `wanted a name for the migration, found ${found}`, {
    next: ['godwit create unify-contacts', 'godwit create "Unify contacts"'],
  });
}

/**
 * `Unify Contacts` → `unify-contacts`. Accents go, letters that are not Latin too.
 *
 * @throws GodwitError GODWIT_USAGE for a name that is a path, a dated id, too long, or of which nothing is left
 */
export function toKebabCase(name: string): string {
  const odd = ODD_NAMES.find(([pattern]) => pattern.test(name));
  if (odd) throw refuseName(odd[1]);
  const kebab = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  if (kebab === '')
    throw refuseName(name.trim() === '' ? 'an empty one' : 'one without a letter or digit of a to z, 0 to 9');
  if (kebab.length > MAX_NAME) throw refuseName(`one of ${kebab.length} characters (at most ${MAX_NAME})`);
  return kebab;
}

/** `20261123T0900-unify-contacts`: the minute in UTC, then the name. */
export function migrationId(name: string, now: Date): string {
  const minute = now.toISOString().slice(0, 16).replace(/[-:]/g, '');
  return `${minute}-${toKebabCase(name)}`;
}

/** @throws GodwitError GODWIT_USAGE for a kind that has no template */
export function requireKind(kind: string): MigrationKind {
  const known = MIGRATION_KINDS.find((one) => one === kind);
  if (known) return known;
  const hint = didYouMean(kind, MIGRATION_KINDS);
  throw new GodwitError(
    'GODWIT_USAGE',
    `wanted a kind of migration (${MIGRATION_KINDS.join(', ')}), found "${kind}".${hint}`,
    {
      next: ['godwit create NAME --kind transform'],
    },
  );
}

export interface MigrationFacts {
  readonly id: string;
  readonly kind: MigrationKind;
  /** Of the file and its test. */
  readonly language: 'ts' | 'mjs';
  /** `Ana Lima <ana@example.test>`. */
  readonly author: string;
}

/** A text as a literal between single quotes. */
const quote = (text: string): string => `'${text.replace(/\p{Cc}/gu, ' ').replace(/[\\']/g, '\\$&')}'`;

/** `20261123T0900-unify-contacts` → `Unify contacts`. */
function describeId(id: string): string {
  const words = id.slice(id.indexOf('-') + 1).replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const TYPES = {
  ts: `/** A document as it is stored today. */
interface Before {
  _id: unknown;
  schemaVersion?: number;
}

/** The document as it shall be. */
interface After extends Before {
  schemaVersion: 2;
}`,
  mjs: `/**
 * A document as it is stored today.
 * @typedef {{ _id: unknown, schemaVersion?: number }} Before
 */`,
} as const;

const STEP = {
  ts: { call: 'transform<Before, After>({', annotation: '' },
  mjs: { call: 'transform({', annotation: '\n      /** @param {Before} doc */' },
} as const;

function transformStep(language: MigrationFacts['language']): string {
  const { call, annotation } = STEP[language];
  return `    ${call}
      collection: COLLECTION,
      filter: { schemaVersion: { $ne: 2 } }, // which documents; \`all: true\` instead means every one
      // Pure, synchronous, and the same again for its own result. The document is frozen: return a new one.
      // \`reject('why')\` puts a document aside; \`keep('path')\` moves a stored value with its exact BSON type.${annotation}
      up(doc, { skip }) {
        if (doc.schemaVersion === 2) return skip('in the new shape already');
        return { ...doc, schemaVersion: 2 };
      },
      drops: [], // fields whose values are meant to disappear
      // No \`down\`: the audit rolls back. Write one only for documents that others insert in the new shape.
    }),`;
}

const PIPELINE_STEP = `    pipeline({
      collection: COLLECTION,
      filter: { schemaVersion: { $ne: 2 } }, // which documents; it must not choose what is in the new shape already
      // Stages of an update ($set, $unset, $project, $replaceWith): the server itself carries them out. Nothing that
      // differs each time ($$NOW, $rand). A document on which they fail is put aside.
      update: [{ $set: { schemaVersion: 2 } }],
      drops: [], // fields whose values are meant to disappear
    }),`;

/** The migration's file. It loads as it is. */
export function migrationText({ id, kind, language, author }: MigrationFacts): string {
  const isPipeline = kind === 'pipeline';
  return `import { defineMigration, ${kind} } from 'godwit';
${isPipeline ? '' : `\n${TYPES[language]}\n`}
const COLLECTION = 'name-of-the-collection'; // <- yours

export default defineMigration({
  description: ${quote(describeId(id))},
  author: ${quote(author)},
  pr: '', // link of the pull request
  steps: [
${isPipeline ? PIPELINE_STEP : transformStep(language)}
  ],
  async verify(ctx) {
    await ctx.expectNone(COLLECTION, { schemaVersion: { $ne: 2 } });
  },
});
`;
}

export interface TestFacts {
  readonly id: string;
  readonly kind: MigrationKind;
  readonly language: 'ts' | 'mjs';
  readonly runner: 'node:test' | 'vitest';
  /** The test's path, as it is given to the runner. */
  readonly path: string;
}

function howToRun({ language, runner, path }: TestFacts): string {
  if (runner === 'vitest') return ` * Run it:  npx vitest run ${path}`;
  if (language === 'mjs') return ` * Run it:  node --test ${path}`;
  return ` * Run it:  node --import jiti/register --test ${path}\n * or, from Node 22.18 on:  node --test ${path}`;
}

/** Types of the test's own functions, by language. */
const TEST_WORDS = {
  ts: {
    doc: ': Doc',
    path: ': string | readonly string[]',
    reason: '?: string',
    value: ': unknown',
    step: '(at: unknown, name) => (at as Doc | undefined)?.[name]',
  },
  mjs: { doc: '', path: '', reason: '', value: '', step: '(at, name) => at?.[name]' },
} as const;

function importText({ id, language }: TestFacts): string {
  if (language === 'mjs') return `import migration from './${id}.mjs';\n`;
  return `
// By a name in a variable: so every runner finds the .ts file, whatever tsconfig.json says about extensions.
const MIGRATION: string = './${id}.ts';

type Doc = Record<string, unknown>;
`;
}

/** A test that passes as it is, and fails when \`up\` is not pure, not idempotent or wrong about the sample. */
export function migrationTestText(facts: TestFacts): string {
  return facts.kind === 'pipeline' ? pipelineTestText(facts) : transformTestText(facts);
}

const PIPELINE_ABOUT = [
  'What the migration does to one document. The server itself evaluates it: give the address of one in MONGODB_URI.',
  'Nothing is read there, and nothing written.',
];

/** What every test begins with: what it is about, what it needs beside `assert` and `test`, and its two documents. */
function headText(facts: TestFacts, about: readonly string[], needs: string): string {
  const isVitest = facts.runner === 'vitest';
  const { doc } = TEST_WORDS[facts.language];
  return `/**
${about.map((line) => ` * ${line}`).join('\n')}
 *
${howToRun(facts)}
 */
import assert from 'node:assert/strict';
${isVitest ? '' : "import { test } from 'node:test';\n"}${needs}
${isVitest ? "import { test } from 'vitest';\n" : ''}${importText(facts)}
/** A document in the old shape, and what it must become. <- yours */
const before${doc} = { _id: 1 };
const after${doc} = { _id: 1, schemaVersion: 2 };
`;
}

const loadText = ({ language }: TestFacts): string =>
  language === 'ts' ? '  const { default: migration } = await import(MIGRATION);\n' : '';

/** The server evaluates the pipeline on a document that is stored nowhere: nothing is read, and nothing written. */
function pipelineTestText(facts: TestFacts): string {
  return `${headText(facts, PIPELINE_ABOUT, "import { MongoClient } from 'mongodb';")}
const uri = process.env['MONGODB_URI'] ?? '';

/** What becomes of the document; undefined when the filter does not choose it. */
async function up(doc${TEST_WORDS[facts.language].doc}) {
${loadText(facts)}  const [step] = migration.steps;
  const client = await new MongoClient(uri).connect();
  try {
    const stages = [{ $documents: { $literal: [doc] } }, { $match: step.filter ?? {} }, ...step.update];
    const [result] = await client.db('test').aggregate(stages).toArray();
    return result;
  } finally {
    await client.close();
  }
}

test('a document in the old shape gets the new one', { skip: uri === '' }, async () => {
  assert.deepEqual(await up(before), after);
});

test('a second time changes nothing', { skip: uri === '' }, async () => {
  assert.deepEqual((await up(after)) ?? after, after);
});
`;
}

function transformTestText(facts: TestFacts): string {
  const word = TEST_WORDS[facts.language];
  return `${headText(facts, ['What the migration does to one document. It needs no database.'], "import { inspect } from 'node:util';")}
/** What Godwit gives to \`up\` beside the document. */
const contextFor = (doc${word.doc}) => ({
  lookup: {}, // as in the migration: { owner: { get: (id) => ({ … }), all: (id) => [] } }
  keep: (path${word.path}) =>
    (typeof path === 'string' ? path.split('.') : path).reduce(${word.step}, doc),
  skip: (reason${word.reason}) => ({ skipped: reason ?? '' }),
  reject: (reason${word.reason}) => ({ rejected: reason ?? '' }),
});

function deepFreeze(value${word.value}) {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  for (const inner of Object.values(value)) deepFreeze(inner);
  Object.freeze(value);
}

async function up(doc${word.doc}) {
${loadText(facts)}  deepFreeze(doc);
  return migration.steps[0].up(doc, contextFor(doc));
}

const asText = (value${word.value}) => inspect(value, { depth: null, maxArrayLength: null, maxStringLength: null });

test('a document in the old shape gets the new one', async () => {
  assert.deepEqual(await up(before), after);
});

test('a second time changes nothing', async () => {
  const once = await up(before);
  const twice = await up(once);
  if (!('skipped' in twice)) assert.deepEqual(twice, once);
});

test('the document that is given stays as it was', async () => {
  const was = asText(before);
  await up(before);
  assert.equal(asText(before), was);
});
`;
}
