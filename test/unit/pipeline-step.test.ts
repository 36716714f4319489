import { describe, expect, test } from 'vitest';
import { pipeline } from '../../src/domain/pipeline-step.js';
import { refusalOf } from '../support/refusal.js';

const refused = (options: unknown): string => refusalOf(() => pipeline(options as never));

describe('pipeline()', () => {
  test('takes the stages of an update', () => {
    const update = [
      { $addFields: { a: 1 } },
      { $set: { b: { $literal: '$$NOW' } } },
      { $unset: 'c' },
      { $project: { d: 0 } },
      { $replaceRoot: { newRoot: { $mergeObjects: ['$$ROOT', { e: 1 }] } } },
      { $replaceWith: '$$ROOT' },
    ];
    expect(pipeline({ collection: 'people', update, all: true })).toMatchObject({
      kind: 'pipeline',
      update,
      drops: [],
    });
  });

  test.each([
    ['no stages', { update: [] }, 'an array of stages'],
    ['a single stage', { update: { $set: { a: 1 } } }, 'an array of stages'],
    ['a stage that is none', { update: ['$set'] }, 'stages as objects'],
    ['a stage of a query', { update: [{ $match: { a: 1 } }] }, 'found $match'],
    ['two names in one stage', { update: [{ $set: { a: 1 }, $unset: 'b' }] }, 'found $set, $unset'],
    ['the time', { update: [{ $set: { at: '$$NOW' } }] }, 'found $$NOW'],
    ['the time inside an expression', { update: [{ $set: { at: [{ $year: '$$NOW' }] } }] }, 'found $$NOW'],
    ['the cluster time', { update: [{ $set: { at: '$$CLUSTER_TIME' } }] }, 'found $$CLUSTER_TIME'],
    ['a random number', { update: [{ $set: { a: { $add: [1, { $rand: {} }] } } }] }, 'found $rand'],
    ['an empty filter', { update: [{ $set: { a: 1 } }], filter: {} }, 'an empty filter'],
    ['an unknown key', { update: [{ $set: { a: 1 } }], up: () => 1 }, 'found "up"'],
    ['no collection', { collection: undefined, update: [{ $set: { a: 1 } }] }, 'pipeline().collection as a text'],
  ])('refuses %s', (_, options, found) => {
    expect(refused({ collection: 'people', ...options })).toMatch(/^GODWIT_MIGRATION_BROKEN: /);
    expect(refused({ collection: 'people', ...options })).toContain(found);
  });
});
