import { generateCustomers } from './generate.js';
import { generateLegacy } from './legacy.js';

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

/**
 * Fills `customers`, `clients`, `leads`, `invoices`, `notes` and `tasks`, which must be empty, with the indexes and the
 * validator that the CRM has.
 *
 * @param {import('mongodb').Db} db of a client that is connected already
 * @param {import('./legacy.js').LegacyOptions} [options]
 * @returns {Promise<number>} how many documents were inserted
 */
export async function loadLegacy(db, options = {}) {
  const validator = { total: { $type: 'decimal' } };
  await db.createCollection('invoices', { validator });
  let inserted = 0;
  for (const [name, documents] of Object.entries(generateLegacy(options))) {
    for (const batch of batches(documents, BATCH_SIZE))
      inserted += (await db.collection(name).insertMany(batch)).insertedCount;
  }
  await db.collection('customers').createIndex({ email: 1 });
  await db.collection('clients').createIndex({ mail: 1 }, { sparse: true });
  await db.collection('invoices').createIndex({ client: 1, at: -1 });
  await db.collection('notes').createIndex({ 'subject.kind': 1, 'subject.id': 1 });
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
