import { generateCustomers } from './generate.js';

const BATCH_SIZE = 1000;

/**
 * Fills the collection `customers`, which must be empty, and builds the indexes that the CRM has.
 *
 * @param {import('mongodb').Db} db of a client that is connected already
 * @param {import('./generate.js').GenerateOptions} [options]
 * @returns {Promise<number>} how many documents were inserted
 */
export async function loadCustomers(db, options = {}) {
  const customers = db.collection('customers');
  let inserted = 0;
  for (const batch of batches(generateCustomers(options), BATCH_SIZE)) {
    const result = await customers.insertMany(batch);
    inserted += result.insertedCount;
  }
  await customers.createIndexes([{ key: { email: 1 } }, { key: { createdAt: 1 } }]);
  return inserted;
}

/** @template T @param {Iterable<T>} items @param {number} size */
function* batches(items, size) {
  /** @type {T[]} */
  let batch = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
