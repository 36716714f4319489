/** What the tests that `godwit create` writes have in common. Texts only. */
import type { MigrationKind } from './scaffold.js';

export interface TestFacts {
  readonly id: string;
  readonly kind: MigrationKind;
  /** Of the test. */
  readonly language: 'ts' | 'mjs';
  /** The extension of the migration. */
  readonly migration: 'ts' | 'mts' | 'mjs';
  readonly runner: 'node:test' | 'vitest';
  /** The test's path, as it is given to the runner. */
  readonly path: string;
}

/** Of a migration whose steps are about documents. */
export type DocumentFacts = TestFacts & { readonly kind: Exclude<MigrationKind, 'schema'> };

export const howToRun = ({ runner, path }: Omit<TestFacts, 'kind'>): string =>
  runner === 'vitest' ? ` * Run it:  npx vitest run ${path}` : ` * Run it:  node --test ${path}`;

/** Types of the test's own functions, by language. */
export const TEST_WORDS = {
  ts: {
    doc: ': Doc',
    path: ': string | readonly string[]',
    reason: '?: string',
    value: ': unknown',
    rule: ': (doc: Doc) => unknown',
    step: '(at: unknown, name) => (at as Doc | undefined)?.[name]',
  },
  mjs: { doc: '', path: '', reason: '', value: '', rule: '', step: '(at, name) => at?.[name]' },
} as const;

/** @param type of the test's own, in TypeScript */
export function importText(
  { id, language, migration }: TestFacts,
  type = 'type Doc = Record<string, unknown>;',
): string {
  if (language === 'mjs' && migration !== 'mjs')
    return `
// As Godwit loads it, so that every Node can run this test: jiti comes with Godwit.
const { default: migration } = await createJiti(import.meta.url, { tsconfigPaths: true }).import('./${id}.${migration}');
`;
  if (language === 'mjs') return `import migration from './${id}.mjs';\n`;
  return `
// By a name in a variable: so every runner finds the .ts file, whatever tsconfig.json says about extensions.
const MIGRATION: string = './${id}.${migration}';

${type}
`;
}

/** In the old shape and in the new one. */
const DOCUMENTS = {
  transform: ['{ _id: 1 }', '{ _id: 1, schemaVersion: 2 }'],
  pipeline: ['{ _id: 1 }', '{ _id: 1, schemaVersion: 2 }'],
  merge: ["{ _id: 1, email: 'ana@example.test' }", "{ email: 'ana@example.test' }"],
  references: ['{ _id: 1, owner: 7 }', "{ _id: 1, owner: 'a' }"],
  script: ['{ _id: 1 }', '{ _id: 1, schemaVersion: 2 }'],
} as const;

/** What loads the migration in TypeScript where the test is in JavaScript. */
export const loaderText = ({ language, migration }: TestFacts): string =>
  language === 'mjs' && migration !== 'mjs' ? "import { createJiti } from 'jiti';\n" : '';

/** What every test begins with: what it is about, what it needs beside `assert` and `test`, and its two documents. */
export function headText(facts: DocumentFacts, about: readonly string[], needs: string): string {
  const isVitest = facts.runner === 'vitest';
  const { doc } = TEST_WORDS[facts.language];
  const [before, after] = DOCUMENTS[facts.kind];
  return `/**
${about.map((line) => ` * ${line}`).join('\n')}
 *
${howToRun(facts)}
 */
import * as assert from 'node:assert/strict';
${isVitest ? '' : "import { test } from 'node:test';\n"}${needs && `${needs}\n`}${loaderText(facts)}${isVitest ? "import { test } from 'vitest';\n" : ''}${importText(facts)}
/** A document in the old shape, and what it must become. <- yours */
const before${doc} = ${before};
const after${doc} = ${after};
`;
}

export const loadText = ({ language }: TestFacts): string =>
  language === 'ts' ? '  const { default: migration } = await import(MIGRATION);\n' : '';

/** What Godwit gives to the author's function beside the document, without lookups. */
export function choicesText({ language }: TestFacts): string {
  const word = TEST_WORDS[language];
  return `  keep: (path${word.path}) =>
    (typeof path === 'string' ? path.split('.') : path).reduce(${word.step}, doc),
  skip: (reason${word.reason}) => ({ skipped: reason ?? '' }),
  reject: (reason${word.reason}) => ({ rejected: reason ?? '' }),`;
}
