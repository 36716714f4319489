/** Collections as a dump holds them, and back: what a restore of a backup does, without its tools. */
import type { Db, Document } from 'mongodb';

export type Dump = readonly { readonly name: string; readonly documents: readonly Document[] }[];

export const ALL = /./;
/** Godwit's own collections. */
export const STATE = /^migrations/;

/** @param only names of the collections */
export async function dump(db: Db, only: RegExp): Promise<Dump> {
  const listed = await db.listCollections({}, { nameOnly: true }).toArray();
  const names = listed.map(({ name }) => name).filter((name) => only.test(name));
  const read = (name: string): Promise<Document[]> => db.collection(name).find({}, { promoteValues: false }).toArray();
  return Promise.all(names.map(async (name) => ({ name, documents: await read(name) })));
}

/** Drops and inserts, as a restore does: the collections have other UUIDs afterwards. */
export async function restore(db: Db, dumped: Dump): Promise<void> {
  for (const { name, documents } of dumped) {
    await db.collection(name).drop();
    await db.createCollection(name);
    if (documents.length > 0) await db.collection(name).insertMany([...documents], { forceServerObjectId: true });
  }
}
