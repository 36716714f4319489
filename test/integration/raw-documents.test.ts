import { deserialize } from 'bson';
import { describe, expect, test } from 'vitest';
import { rawDocuments } from '../../src/mongo/raw-documents.js';
import { useDatabase } from '../support/database.js';

const COUNT = 300;
const all = Array.from({ length: COUNT }, (_, _id) => ({ _id, n: _id }));

describe('documents as bytes', () => {
  const { client, db } = useDatabase('raw');

  test.each([
    ['a find', { find: 'people', filter: {}, sort: { _id: 1 }, batchSize: 50 }],
    ['an aggregation', { aggregate: 'people', pipeline: [{ $sort: { _id: 1 } }], cursor: { batchSize: 50 } }],
    ['documents that are stored nowhere', { aggregate: 1, pipeline: [{ $documents: { $literal: all } }], cursor: {} }],
  ])('come from %s of several batches, all of them', async (_, command) => {
    await db.collection<{ _id: number }>('people').insertMany(all);
    const found: unknown[] = [];
    for await (const bytes of rawDocuments(db, command)) found.push(deserialize(bytes));
    expect(found).toEqual(all);
  });

  test('whose cursor is left early leave none open', async () => {
    await db.collection<{ _id: number }>('people').insertMany(all);
    for await (const _ of rawDocuments(db, { find: 'people', filter: {}, batchSize: 50 })) break;
    const stages = [
      { $currentOp: { idleCursors: true } },
      { $match: { type: 'idleCursor', ns: `${db.databaseName}.people` } },
    ];
    expect(await client.db('admin').aggregate(stages).toArray()).toEqual([]);
  });
});
