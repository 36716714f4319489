/** A database of its own for each test file, on the suite's real replica set. */
import { randomBytes } from 'node:crypto';
import { type Db, MongoClient } from 'mongodb';
import { afterAll, beforeAll, beforeEach, inject } from 'vitest';

export interface TestDatabase {
  readonly client: MongoClient;
  readonly db: Db;
  /** With the database in its path. */
  readonly uri: string;
}

/** `mongodb://host/?x` → `mongodb://host/name?x` */
export function withDatabase(uri: string, name: string): string {
  const [base, query] = uri.split('?');
  return `${(base ?? '').replace(/^(mongodb(?:\+srv)?:\/\/[^/]+).*$/, '$1')}/${name}${query ? `?${query}` : ''}`;
}

/** Connects before the tests of a file, empties the database before each, drops it at the end. */
export function useDatabase(label: string): TestDatabase {
  const name = `t_${label}_${randomBytes(3).toString('hex')}`;
  const uri = withDatabase(inject('mongoUri'), name);
  const client = new MongoClient(uri);
  const db = client.db(name);
  beforeAll(async () => {
    await client.connect();
  });
  beforeEach(async () => {
    await db.dropDatabase();
  });
  afterAll(async () => {
    await db.dropDatabase();
    await client.close();
  });
  return { client, db, uri };
}

/** Server-side hash of the data collections (Godwit's own are left out), as one text per collection. */
export async function dataHash(db: Db): Promise<Record<string, string>> {
  const names = (await db.listCollections({ type: 'collection' }, { nameOnly: true }).toArray()).map(
    ({ name }) => name,
  );
  const data = names.filter((name) => !/^migrations(_|$)/.test(name) && !name.startsWith('system.'));
  const { collections } = await db.command({ dbHash: 1, collections: data });
  return collections as Record<string, string>;
}
