import { describe, expect, it } from 'vitest';
import { migrationId, toKebabCase } from '../../src/migration/names.js';
import { migrationText, requireKind } from '../../src/migration/scaffold.js';
import { migrationTestText } from '../../src/migration/scaffold-test.js';
import { refusalOf } from '../support/refusal.js';

describe('the name of a migration', () => {
  it.each([
    ['unify-contacts', 'unify-contacts'],
    ['Unify Contacts', 'unify-contacts'],
    ['unifyContacts', 'unify-contacts'],
    ['  unify__contacts!  ', 'unify-contacts'],
    ['Café für Zoë', 'cafe-fur-zoe'],
    ['客户 v2', 'v2'],
    ['2026 prices', '2026-prices'],
    ["it's; rm -rf $HOME", 'it-s-rm-rf-home'],
  ])('%j becomes %s', (name, kebab) => {
    expect(toKebabCase(name)).toBe(kebab);
  });

  it.each([
    ['', 'an empty one'],
    ['   ', 'an empty one'],
    ['客户', 'one without a letter or digit'],
    ['---', 'one without a letter or digit'],
    ['../../etc/passwd', 'a path'],
    ['a\\b', 'a path'],
    ['a\u0000b', 'a control character'],
    ['unify.ts', "a file's extension"],
    ['unify.mjs', "a file's extension"],
    ['20261123T0900-unify', 'a date'],
    ['x'.repeat(81), 'one of 81 characters'],
  ])('%j is refused as %s', (name, found) => {
    expect(refusalOf(() => toKebabCase(name))).toContain(
      `GODWIT_USAGE: wanted a name for the migration, found ${found}`,
    );
  });

  it('begins with the second in UTC, whatever the time zone', () => {
    expect(migrationId('Unify contacts', new Date('2026-11-23T01:59:59+02:00'))).toBe('20261122T235959-unify-contacts');
  });
});

describe('the kind of a migration', () => {
  it.each(['transform', 'pipeline', 'merge', 'references', 'schema', 'script'])('is %s', (kind) => {
    expect(requireKind(kind)).toBe(kind);
  });

  it('is refused with the nearest one when it has no template', () => {
    const refusal = refusalOf(() => requireKind('transfrom'));
    expect(refusal).toBe(
      'GODWIT_USAGE: wanted a kind of migration (transform, pipeline, merge, references, schema, script), found "transfrom". Did you mean "transform"?',
    );
    expect(refusalOf(() => requireKind('phases'))).toContain('GODWIT_USAGE');
    expect(refusalOf(() => requireKind(''))).toContain('GODWIT_USAGE');
  });
});

describe('the text of a migration', () => {
  it("holds an author's name as a text, quotes and all", () => {
    const author = "Conor O'Brien \\ <conor@example.test>";
    const text = migrationText({ id: '20261123T0900-unify-contacts', kind: 'transform', language: 'ts', author });
    expect(text).toContain("author: 'Conor O\\'Brien \\\\ <conor@example.test>',");
    expect(text).toContain("description: 'Unify contacts',");
    expect(text).toContain("pr: '', // link of the pull request");
  });

  it('has types in TypeScript and JSDoc in JavaScript', () => {
    const facts = { id: '20261123T0900-unify-contacts', author: 'Ana' };
    expect(migrationText({ ...facts, kind: 'transform', language: 'ts' })).toContain('transform<Before, After>({');
    const script = migrationText({ ...facts, kind: 'transform', language: 'mjs' });
    expect(script).toContain('@typedef');
    expect(script).not.toMatch(/\binterface\b|transform</);
  });
});

describe('the text of its test', () => {
  const facts = {
    id: '20261123T0900-x',
    language: 'ts',
    migration: 'ts',
    path: 'scripts/migrations/20261123T0900-x.test.ts',
  } as const;

  it("uses Node's own runner, or Vitest where the project has it", () => {
    expect(migrationTestText({ ...facts, kind: 'transform', runner: 'node:test' })).toContain(
      "import { test } from 'node:test';",
    );
    const forVitest = migrationTestText({ ...facts, kind: 'transform', runner: 'vitest' });
    expect(forVitest).toContain("import { test } from 'vitest';");
    expect(forVitest).not.toContain('node:test');
  });
});
