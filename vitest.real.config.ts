/** `npm run test:real`: tests on real documents, which are no part of the project and in no tier. */
import { defineConfig } from 'vitest/config';
import { hasSampleData } from './test/real/sample-data.js';
import config from './vitest.config.js';

const isThere = hasSampleData();
// Others read this file, too: knip.
if (!isThere && process.argv.includes('run'))
  process.stdout.write('The real documents are not there (../shared/data): nothing is tested.\n');

export default defineConfig({
  ...config,
  test: { ...config.test, include: isThere ? ['test/real/*.real.ts'] : [], passWithNoTests: true },
});
