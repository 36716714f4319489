/** What the server says of a document quotes it: nothing of that is printed or stored. */
import { describe, expect, test } from 'vitest';
import { textWithoutValues } from '../../src/mongo/server-errors.js';
import { runCommand } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

describe('a text of the server', () => {
  const { db, uri } = useDatabase('said');
  const people = db.collection<{ _id: number }>('people');

  test.each([
    [
      'a place that is none',
      () => people.createIndex({ place: '2dsphere' }),
      "(doc) => ({ ...doc, place: { type: 'Point', coordinates: [doc.lng, 'Jane Doe'] } })",
      "an index cannot take it: Can't extract geo keys",
    ],
    [
      'two arrays in one key',
      () => people.createIndex({ a: 1, b: 1 }),
      '(doc) => ({ ...doc, a: [doc.owner, 1], b: [doc.owner, 2] })',
      'an index cannot take it: cannot index parallel arrays',
    ],
    [
      'a language that is none',
      () => people.createIndex({ note: 'text' }),
      "(doc) => ({ ...doc, note: 'x', language: doc.owner })",
      'an index cannot take it: ',
    ],
    [
      'an array to hash',
      () => people.createIndex({ tags: 'hashed' }),
      '(doc) => ({ ...doc, tags: [doc.owner, doc.owner] })',
      'an index cannot take it: ',
    ],
  ])(
    'about %s is told without values, and the document is put aside',
    { tags: ['P11'] },
    async (_, index, up, says) => {
      await people.insertMany([{ _id: 1, owner: 'Jane Doe', lng: 181.375 }] as never[]);
      await index();
      const cwd = await makeMigration(up);
      const run = await runCommand(['run', 'm1', '--progress', 'plain', '--max-failures', '1'], { cwd, uri });
      expect(run.code).toBe(4);
      const status = await runCommand(['status', 'm1'], { cwd, uri });
      const stored = await Promise.all(
        ['migrations', 'migrations_failures'].map((name) =>
          db
            .collection(name)
            .find({}, { projection: { image: 0 } })
            .toArray(),
        ),
      );
      expect(stored[1]).toMatchObject([{ code: 'GODWIT_INDEX', message: expect.stringContaining(says) }]);
      const texts = [run.stdout, run.stderr, status.stdout, JSON.stringify(stored)].join('\n');
      expect(texts).not.toMatch(/jane|181\.375/i);
    },
  );

  test.each([
    [
      `Can't extract geo keys: { _id: 1, owner: "Jane" }  Point must only contain numeric elements`,
      "Can't extract geo keys",
    ],
    [
      `PlanExecutor error during aggregation :: caused by :: Failed to parse number 'Jane' in $convert with no onError value: Did not consume`,
      'PlanExecutor error during aggregation: Failed to parse number',
    ],
    [
      `E11000 duplicate key error collection: crm.people index: email_1 dup key: { email: "jane" }`,
      'E11000 duplicate key error collection',
    ],
    ['language override unsupported: Jane', 'language override unsupported'],
    ['cannot take the square root of 4711', 'cannot take the square root of 9'],
    ['', ''],
  ])('is cut where it begins to quote: %s', (text, told) => {
    expect(textWithoutValues(text)).toBe(told);
  });
});
