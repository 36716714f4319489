/** The database as an author's `verify` may see it. */
import type { Db } from 'mongodb';
import type { ReadOnlyDb } from '../domain/migration.js';
import { GodwitError } from '../errors.js';

export const readOnlyDb = (db: Db): ReadOnlyDb => ({
  find: (collection, filter = {}) => db.collection(collection).find(filter).toArray(),
  count: (collection, filter = {}) => db.collection(collection).countDocuments(filter),
  distinct: (collection, field, filter = {}) => db.collection(collection).distinct(field, filter),
  aggregate: async (collection, pipeline) => {
    const writes = pipeline.find((stage) => '$out' in stage || '$merge' in stage);
    if (writes)
      throw new GodwitError(
        'GODWIT_MIGRATION_BROKEN',
        'wanted an aggregation that reads, found $out or $merge in verify()',
      );
    return db.collection(collection).aggregate(pipeline).toArray();
  },
});
