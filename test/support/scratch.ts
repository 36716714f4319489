/** Databases of their own for the cases of a table, which may be carried out side by side; and what is in them. */
import { randomBytes } from 'node:crypto';
import { type Db, type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll } from 'vitest';
import { withDatabase } from './database.js';

/** It waits for transactions that are open: one that was forgotten is told as such, not as a test that took too long. */
const HASH_MS = 20_000;

export interface ScratchDatabase {
  readonly db: Db;
  readonly name: string;
  /** With the database in its path. */
  readonly uri: string;
}

export interface Scratch {
  /** A new, empty database; dropped at the end of the file. */
  make(): ScratchDatabase;
}

/** @param server gives the URI of the server, asked for when the file's tests begin */
export function useScratch(label: string, server: () => string): Scratch {
  let client: MongoClient | undefined;
  const made: Db[] = [];
  beforeAll(async () => {
    client = await new MongoClient(server()).connect();
  });
  afterAll(async () => {
    for (const db of made) await db.dropDatabase();
    await client?.close();
  });
  return {
    make: () => {
      if (!client) throw new Error('wanted to be called inside a test or a hook');
      const name = `t_${label}_${randomBytes(4).toString('hex')}`;
      const db = client.db(name);
      made.push(db);
      return { db, name, uri: withDatabase(server(), name) };
    },
  };
}

/** Hash of one collection, as the server counts it; undefined where there is none. */
export async function hashOf(db: Db, collection: string): Promise<string | undefined> {
  const { collections } = await db.command({ dbHash: 1, collections: [collection], maxTimeMS: HASH_MS });
  return (collections as Record<string, string>)[collection];
}

/** Everything in a database: the name, kind and hash of every collection. */
export async function everything(db: Db): Promise<Record<string, string>> {
  const listed = await db.listCollections().toArray();
  const { collections } = await db.command({ dbHash: 1, maxTimeMS: HASH_MS });
  const hashes = collections as Record<string, string>;
  return Object.fromEntries(
    listed
      .map(({ name, type }) => [name, `${type} ${hashes[name] ?? ''}`] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** Collections with their options, UUIDs and indexes, to the type of each value; without Godwit's own. */
export async function structureOf(db: Db): Promise<unknown> {
  const listed = await db.command({ listCollections: 1 }, { promoteValues: false });
  const own = (listed['cursor'].firstBatch as Document[]).filter(({ name }) => !String(name).startsWith('migrations'));
  const structure = await Promise.all(
    own.map(async ({ name, options, info }) => {
      const indexes = await db.command({ listIndexes: String(name) }, { promoteValues: false });
      return { name: String(name), options, uuid: String(info.uuid), indexes: indexes['cursor'].firstBatch };
    }),
  );
  return structure.sort((a, b) => (a.name < b.name ? -1 : 1));
}
