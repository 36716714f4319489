/** How the demo is told: stages, one after the other, each timed and kept with what it found. */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Db } from 'mongodb';
import { GodwitError } from '../errors.js';
import { type ChildOptions, runCommand } from './child.js';
import type { DemoServer } from './server.js';

export const EXAMPLE = fileURLToPath(new URL('../../examples/crm', import.meta.url));

export interface DemoOptions {
  readonly docs: number;
  /** Leave the server running until `untilStopped` resolves. */
  readonly keep: boolean;
  readonly uri: string | undefined;
  readonly signal: AbortSignal;
  /** Hears the story, line by line. */
  readonly say: (line: string) => void;
}

export interface DemoStage {
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly figures: Readonly<Record<string, unknown>>;
}

interface Loader {
  loadCustomers(db: Db, options: { count: number; seed: number; broken: number }): Promise<unknown>;
  loadLegacy(db: Db, options: { people: number }): Promise<unknown>;
}

/** Fills a database with the example's documents. @throws GodwitError GODWIT_USAGE without the package that makes them up */
export async function loadExample(fill: (loader: Loader) => Promise<unknown>): Promise<void> {
  const load = pathToFileURL(join(EXAMPLE, 'load.js')).href;
  try {
    await fill((await import(load)) as Loader);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new GodwitError(
      'GODWIT_USAGE',
      'wanted the package @faker-js/faker to make the customers of the demo, found it missing',
      {
        next: ['npm install @faker-js/faker'],
        cause: error,
      },
    );
  }
}

export const count = (value: unknown): string => Number(value ?? 0).toLocaleString('en-US');

export class Story {
  readonly stages: DemoStage[] = [];

  constructor(
    protected readonly options: DemoOptions,
    protected readonly server: DemoServer,
    protected readonly folder: string,
  ) {}

  /** Where its commands run. */
  get at(): ChildOptions {
    return { cwd: this.folder, uri: this.server.databaseUri, signal: this.options.signal };
  }

  say(line: string): void {
    this.options.say(line);
  }

  /** Tells one stage, times it, and keeps what it found. */
  async stage(
    name: string,
    command: string | null,
    body: () => Promise<{ ok: boolean; figures: Record<string, unknown>; lines: readonly string[] }>,
  ): Promise<void> {
    if (this.options.signal.aborted) throw this.options.signal.reason;
    const { say } = this.options;
    say('');
    say(`${this.stages.length + 1}  ${name}`);
    if (command) say(`   $ godwit ${command}`);
    const startedAt = performance.now();
    const { ok, figures, lines } = await body();
    for (const line of lines) say(`   ${line}`);
    this.stages.push({ name, ok, seconds: (performance.now() - startedAt) / 1_000, figures });
  }

  godwit(...args: string[]): Promise<{ code: number; json: Record<string, unknown> }> {
    return runCommand([...args, '--json', '--progress', 'none'], this.at);
  }
}
