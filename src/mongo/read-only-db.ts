/** The database as an author's `verify` or script may see it. */
import type { Db } from 'mongodb';
import type { ReadOnlyDb } from '../domain/migration.js';
import { GodwitError } from '../errors.js';

/** Every value as its BSON class, but for what JavaScript holds exactly: what a script reads, it writes elsewhere. */
const TYPED = { promoteValues: false, promoteLongs: false, promoteBuffers: false, bsonRegExp: true } as const;

const optionsOf = (as: 'plain' | 'typed') => (as === 'typed' ? TYPED : {});

/** @param as `typed`: every number is an Int32, a Double or a Long; `plain`: JavaScript's own, where it has one */
export const readOnlyDb = (db: Db, as: 'plain' | 'typed'): ReadOnlyDb => ({
  find: (collection, filter = {}) => db.collection(collection).find(filter, optionsOf(as)).toArray(),
  count: (collection, filter = {}) => db.collection(collection).countDocuments(filter),
  distinct: (collection, field, filter = {}) => db.collection(collection).distinct(field, filter, optionsOf(as)),
  aggregate: async (collection, pipeline) => {
    const writes = pipeline.find((stage) => '$out' in stage || '$merge' in stage);
    if (writes)
      throw new GodwitError('GODWIT_MIGRATION_BROKEN', 'wanted an aggregation that reads, found $out or $merge');
    return db.collection(collection).aggregate(pipeline, optionsOf(as)).toArray();
  },
});
