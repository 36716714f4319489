import { describe, expect, test } from 'vitest';
import { parseDecisions, refOf } from '../../src/domain/merge-decisions.js';
import { refusalOf } from '../support/refusal.js';

const REF = refOf('clients', 1);
const read = (groups: unknown) => parseDecisions(JSON.stringify({ groups }), 'd.json');

describe('decisions', () => {
  test('are about the documents that they name, and nobody else', () => {
    const decisions = read([
      { members: [{ ref: REF, apart: true, collection: 'clients' }], conflicts: [] },
      {
        conflicts: [
          { ref: refOf('clients', 2), field: 'name', kept: 'source' },
          { ref: refOf('clients', 2), field: 'tags', kept: 'other' },
        ],
      },
    ]);
    expect([decisions.isApart('clients', 1), decisions.isApart('leads', 1), decisions.isApart('clients', '1')]).toEqual(
      [true, false, false],
    );
    expect(['name', 'tags', 'city'].map((field) => decisions.kept('clients', 2, field))).toEqual([
      'source',
      undefined,
      undefined,
    ]);
  });

  test.each<[unknown, string]>([
    [{}, 'd.json.groups as a list, found an object'],
    [[7], 'd.json.groups[0] as an object, found a number'],
    [[{ members: [{ apart: true }] }], 'd.json: groups[0].members[0].ref as the report has it, found nothing'],
    [
      [{ members: [{ ref: REF, apart: 'yes' }] }],
      'd.json: groups[0].members[0].apart as true or false, found a string',
    ],
    [
      [{ conflicts: [{ ref: REF, field: 'a', kept: 'mine' }] }],
      'target, source, other in d.json: groups[0].conflicts[0].kept, found "mine"',
    ],
  ])('that cannot be read are refused with their place (%#)', (groups, message) => {
    expect(refusalOf(() => read(groups))).toContain(message);
  });

  test('are a report, not anything else', () => {
    expect(refusalOf(() => parseDecisions('{', 'd.json'))).toBe(
      'GODWIT_MIGRATION_BROKEN: wanted JSON in d.json, found something else',
    );
    expect(refusalOf(() => parseDecisions('[]', 'd.json'))).toContain('found an array');
  });
});
