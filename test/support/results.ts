/**
 * A reporter for scripts/test.mjs and scripts/test-all.mjs: as each file ends, a line of JSON into the file that
 * GODWIT_TEST_RESULTS names. Whoever is interrupted keeps what was through.
 */
import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestModule, Vitest } from 'vitest/node';

/** One file that has ended. */
export interface FileResult {
  /** Of `test:all`. */
  readonly part: string;
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Of one worker. */
  readonly seconds: number;
  /** Claims (test/claims/claims.ts) of tests that passed. */
  readonly shown: readonly string[];
}

function resultOf(root: string, module: TestModule): FileResult {
  const tests = [...module.children.allTests()];
  const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
  const passed = tests.filter((test) => test.result().state === 'passed');
  // A file that could not be loaded, or whose hook failed, has failed even without a test that did.
  const isBroken = module.state() === 'failed' && count('failed') === 0;
  return {
    part: process.env['GODWIT_TEST_PART'] ?? 'short',
    file: relative(root, module.moduleId),
    passed: passed.length,
    failed: count('failed') + (isBroken ? 1 : 0),
    skipped: count('skipped'),
    seconds: Math.round(module.diagnostic().duration / 10) / 100,
    shown: [...new Set(passed.flatMap(({ tags }) => tags))].sort(),
  };
}

export default class Results implements Reporter {
  #root = '';

  onInit(vitest: Vitest): void {
    this.#root = vitest.config.root;
  }

  onTestModuleEnd(module: TestModule): void {
    const path = process.env['GODWIT_TEST_RESULTS'];
    if (path) appendFileSync(path, `${JSON.stringify(resultOf(this.#root, module))}\n`);
  }
}
