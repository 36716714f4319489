import type { Db } from 'mongodb';
import type { GenerateOptions } from './generate.js';
import type { LegacyOptions } from './legacy.js';

/** Fills the empty collection `customers`, with its indexes; resolves to the number of documents inserted. */
export function loadCustomers(db: Db, options?: GenerateOptions): Promise<number>;

/** Fills six empty collections, with indexes and a validator; resolves to the number of documents inserted. */
export function loadLegacy(db: Db, options?: LegacyOptions): Promise<number>;
