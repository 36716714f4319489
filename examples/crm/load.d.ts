import type { Db } from 'mongodb';
import type { GenerateOptions } from './generate.js';

/** Fills the empty collection `customers`, with its indexes; resolves to the number of documents inserted. */
export function loadCustomers(db: Db, options?: GenerateOptions): Promise<number>;
