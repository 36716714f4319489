/** What the phases of a migration may hold, as its author learns it: when the file is loaded. */
import { describe, expect, test } from 'vitest';
import { byPhase, splitPhaseId } from '../../src/domain/expand-contract.js';
import { merge } from '../../src/domain/merge-step.js';
import { defineMigration, type MigrationDefinition, transform } from '../../src/domain/migration.js';
import { pipeline } from '../../src/domain/pipeline-step.js';
import { references } from '../../src/domain/references-step.js';
import { schema } from '../../src/domain/schema-step.js';

const PLAIN = transform({ collection: 'a', up: (doc) => doc });
const MERGE = (source: 'keep' | 'remove') =>
  merge({ into: 'c', from: { b: { map: () => ({}) } }, identity: 'sameId', source });

const define = (more: Partial<MigrationDefinition>) => () =>
  defineMigration({ description: 'a test', steps: [PLAIN], ...more });

describe('phases', () => {
  test('an expansion may add', () => {
    const expand = [
      schema.createCollection({ name: 'b' }),
      schema.createIndex({ collection: 'a', key: { n: 1 } }),
      transform({ collection: 'a', up: (doc) => ({ ...doc, n: 1 }) }),
      pipeline({ collection: 'c', update: [{ $set: { n: 1 } }] }),
    ];
    expect(define({ expand, contract: [schema.dropIndex({ collection: 'a', name: 'old_1' })] })).not.toThrow();
  });

  test.each([
    ['a merge', [MERGE('keep')], 'merge()'],
    ['references', [references({ collection: 'a', path: 'x', to: 'b', by: 'n' })], 'references()'],
    ['a dropped index', [schema.dropIndex({ collection: 'a', name: 'n_1' })], 'schema.dropIndex()'],
    ['a renamed collection', [schema.renameCollection({ from: 'a', to: 'b' })], 'schema.renameCollection()'],
    ['dropped values', [transform({ collection: 'a', up: ({ fax, ...doc }) => doc, drops: ['fax'] })], 'drops "fax"'],
    ['$unset', [pipeline({ collection: 'a', update: [{ $unset: 'fax' }] })], '$unset'],
  ])('an expansion may not hold %s', (_name, expand, found) => {
    expect(define({ expand })).toThrow(found);
  });

  test('no phase is empty, and sources are removed by no merge that has a contract', () => {
    expect(define({ expand: [] })).toThrow('at least one step in `expand`');
    expect(define({ contract: {} as never })).toThrow('an object');
    expect(define({ steps: [MERGE('remove')] })).not.toThrow();
    expect(define({ steps: [MERGE('remove')], contract: [PLAIN] })).toThrow("source: 'remove'");
  });

  test('an id is taken apart at its phase, and phases are in their order', () => {
    expect(splitPhaseId('20261126T0900-unify.contract')).toEqual({
      migration: '20261126T0900-unify',
      phase: 'contract',
    });
    expect([splitPhaseId('20261126T0900-unify'), splitPhaseId('unify.later')]).toEqual([null, null]);
    const ids = ['b', 'a.contract', 'a.migrate', 'c', 'a.expand'];
    expect(ids.sort(byPhase)).toEqual(['a.expand', 'a.migrate', 'a.contract', 'b', 'c']);
  });
});
