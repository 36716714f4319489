/** What `import … from 'godwit'` means inside a migration or a configuration file. */
export {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  DBRef,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
} from 'bson';
export { merge } from './merge-step.js';
export { defineMigration, transform } from './migration.js';
export { pipeline } from './pipeline-step.js';
export { references } from './references-step.js';
export { schema } from './schema-step.js';
export { script } from './script-step.js';
export { defineConfig } from './user-config.js';
