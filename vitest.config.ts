import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';
import { FAULTS, PROMISES } from './test/claims/claims.js';
import { LongFirst } from './test/support/order.js';
import { IS_LONG } from './test/support/tiers.js';

const tags = Object.entries({ ...PROMISES, ...FAULTS }).map(([name, description]) => ({ name, description }));

export default defineConfig({
  resolve: { alias: { godwit: fileURLToPath(new URL('./src/index.ts', import.meta.url)) } },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(IS_LONG ? [] : ['test/**/*.long.test.ts'])],
    globalSetup: ['test/global-setup.ts'],
    tags,
    // Of a slow machine: a hang is told by the tests themselves.
    testTimeout: 120_000,
    hookTimeout: 300_000,
    pool: 'forks',
    // One more than the cores of the smallest machine: tests wait for servers for a third of their time.
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
  },
});
