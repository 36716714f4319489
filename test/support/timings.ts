/** A reporter that keeps how long each test file took, slowest first, in `coverage/timings.json`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { relative } from 'node:path';
import type { Reporter, TestModule, TestRunEndReason, Vitest } from 'vitest/node';

const FILE = 'coverage/timings.json';
const SHOWN = 12;

interface FileTime {
  readonly file: string;
  readonly tests: number;
  /** Tests and hooks, in s of one worker. */
  readonly seconds: number;
  /** Starting the worker and importing the file and what it imports, in s of one worker. */
  readonly startSeconds: number;
}

const inSeconds = (ms: number): number => Math.round(ms / 10) / 100;

function timeOf(root: string, module: TestModule): FileTime {
  const { duration, collectDuration, environmentSetupDuration, prepareDuration, setupDuration } = module.diagnostic();
  return {
    file: relative(root, module.moduleId),
    tests: [...module.children.allTests()].length,
    seconds: inSeconds(duration),
    startSeconds: inSeconds(collectDuration + environmentSetupDuration + prepareDuration + setupDuration),
  };
}

/** Sums by the folder below `test/`. */
function byFolder(files: readonly FileTime[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { file, seconds, startSeconds } of files) {
    const folder = file.split('/')[1] ?? '';
    sums[folder] = Math.round((sums[folder] ?? 0) + seconds + startSeconds);
  }
  return sums;
}

export default class Timings implements Reporter {
  #root = '';
  #startedAt = 0;

  onInit(vitest: Vitest): void {
    this.#root = vitest.config.root;
    this.#startedAt = performance.now();
  }

  onTestRunEnd(modules: readonly TestModule[], _errors: readonly unknown[], reason: TestRunEndReason): void {
    const files = modules
      .map((module) => timeOf(this.#root, module))
      .sort((a, b) => b.seconds + b.startSeconds - a.seconds - a.startSeconds);
    const report = {
      reason,
      wallSeconds: inSeconds(performance.now() - this.#startedAt),
      cores: availableParallelism(),
      load: loadavg().map((load) => Math.round(load * 100) / 100),
      folders: byFolder(files),
      files,
    };
    mkdirSync('coverage', { recursive: true });
    writeFileSync(FILE, `${JSON.stringify(report, null, 2)}\n`);
    const lines = files
      .slice(0, SHOWN)
      .map(({ file, seconds, startSeconds }) => `  ${(seconds + startSeconds).toFixed(1).padStart(7)} s  ${file}`);
    console.log(['', `Slowest files (all: ${FILE}):`, ...lines].join('\n'));
  }
}
