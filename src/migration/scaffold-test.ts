/** The test that `godwit create` writes beside a migration. Texts only; nothing is read or written here. */
import { scriptTestText } from './scaffold-script-test.js';
import {
  choicesText,
  type DocumentFacts,
  headText,
  howToRun,
  importText,
  loaderText,
  loadText,
  TEST_WORDS,
  type TestFacts,
} from './scaffold-test-head.js';

/** A test that passes as it is, and fails when \`up\` is not pure, not idempotent or wrong about the sample. */
export function migrationTestText(facts: TestFacts): string {
  const { kind } = facts;
  if (kind === 'schema') return schemaTestText(facts);
  const own = { ...facts, kind };
  if (kind === 'pipeline') return pipelineTestText(own);
  if (kind === 'script') return scriptTestText(own);
  return kind === 'merge' ? mergeTestText(own) : functionTestText(own);
}

const PIPELINE_ABOUT = [
  'What the migration does to one document. The server itself evaluates it: give the address of one in MONGODB_URI.',
  'Nothing is read there, and nothing written.',
];

/** The server evaluates the pipeline on a document that is stored nowhere: nothing is read, and nothing written. */
function pipelineTestText(facts: DocumentFacts): string {
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

/** What a schema step is about: nothing is called, since only a server can carry it out. */
function schemaTestText(facts: TestFacts): string {
  const { language, runner } = facts;
  const type = 'type Step = { operation: { kind: string; collection: string } };';
  const step = language === 'ts' ? '({ operation }: Step)' : '({ operation })';
  const from = runner === 'vitest' ? 'vitest' : 'node:test';
  return `/**
 * What the migration changes, and in which order. It needs no database: \`godwit run --dry-run\` looks at one.
 *
${howToRun(facts)}
 */
import * as assert from 'node:assert/strict';
import { test } from '${from}';
${loaderText(facts)}${importText(facts, type)}
/** <- yours */
const expected = ['createIndex on name-of-the-collection'];

test('the steps are these, in this order', async () => {
${loadText(facts)}  const found = migration.steps.map(${step} => \`\${operation.kind} on \${operation.collection}\`);
  assert.deepEqual(found, expected);
});
`;
}

const MERGE_ABOUT = ['What the migration makes of one document, and who is the same as whom. It needs no database.'];

function mergeTestText(facts: DocumentFacts): string {
  const word = TEST_WORDS[facts.language];
  return `${headText(facts, MERGE_ABOUT, '')}
/** What Godwit gives to \`map\` beside the document. */
const contextFor = (doc${word.doc}) => ({
${choicesText(facts)}
});

/** The first of the collections that are merged. <- one test for each */
async function map(doc${word.doc}) {
${loadText(facts)}  return migration.steps[0].sources[0].map(doc, contextFor(doc));
}

/** What a canonical document has in common with others. */
async function keysOf(doc${word.doc}) {
${loadText(facts)}  const { identity } = migration.steps[0];
  return identity === 'sameId' ? [doc._id] : identity.map((rule${word.rule}) => rule(doc));
}

test('a document gets the canonical shape, without _id', async () => {
  assert.deepEqual(await map(before), after);
});

test('a document is the same as itself in the canonical shape', async () => {
  assert.deepEqual(await keysOf(await map(before)), await keysOf(after));
});

test('a document with nothing in it is nobody else', async () => {
  assert.ok((await keysOf({ _id: 2 })).every((key${word.value}) => key === undefined || key === null || key === ''));
});
`;
}

const DANGLING_TEST = `
test('a value that names no document stays', async () => {
  assert.deepEqual(await up({ ...before, owner: 8 }), { ...before, owner: 8 });
});
`;

/** The documents that are referred to, and how Godwit finds them. */
function othersText({ language }: TestFacts): string {
  const { doc, value } = TEST_WORDS[language];
  const [docs, name] = language === 'ts' ? [`${doc}[]`, ': string'] : ['', ''];
  return `
/** Documents of the other collection. <- yours */
const others${docs} = [{ _id: 'a', number: 7 }];

const tableBy = (field${name}) => ({
  get: (wanted${value}) => others.find((other) => other[field] === wanted),
  all: (wanted${value}) => others.filter((other) => other[field] === wanted),
});
`;
}

function functionTestText(facts: DocumentFacts): string {
  const word = TEST_WORDS[facts.language];
  const isReferences = facts.kind === 'references';
  const lookup = isReferences
    ? "{ byKey: tableBy('number'), byId: tableBy('_id') }"
    : '{}, // as in the migration: { owner: { get: (id) => ({ … }), all: (id) => [] } }';
  return `${headText(facts, ['What the migration does to one document. It needs no database.'], "import { inspect } from 'node:util';")}${isReferences ? othersText(facts) : ''}
/** What Godwit gives to \`up\` beside the document. */
const contextFor = (doc${word.doc}) => ({
  lookup: ${lookup}${isReferences ? ',' : ''}
${choicesText(facts)}
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
${isReferences ? DANGLING_TEST : ''}`;
}
