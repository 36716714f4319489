/** `run --all`: every migration that is pending, each after those that it depends on. Stops at the first that does not end well. */
import type { GodwitError } from '../errors.js';
import type { LoadedMigration } from '../migration/load.js';
import { findCurrentRun } from '../mongo/runs.js';
import { translateServerError } from '../mongo/server-errors.js';
import { inOrder, loadAll } from './order.js';
import { type RunResult, type StartedRun, startRun } from './run.js';
import { requireSameFile, type Session, type SettingOverrides } from './session.js';

export interface RunAllOptions extends SettingOverrides {
  readonly signal?: AbortSignal | undefined;
}

/**
 * `ran`: it was run, or resumed, by this call. `done`: it was completed before. `left`: it waits for somebody to run it by
 * its name, since it was rolled back, or is a `contract` phase. `waits`: one before it did not end well.
 */
export type Share = 'ran' | 'done' | 'left' | 'waits';

export interface RunAllEntry {
  readonly migration: string;
  readonly share: Share;
  /** Of one that was run. */
  readonly result: RunResult | null;
}

export interface RunAllResult {
  /** In their order. */
  readonly migrations: readonly RunAllEntry[];
  /** All of them are completed, but for those that are left. */
  readonly ok: boolean;
  /** Why the last one that was run did not come to its result. */
  readonly error: GodwitError | null;
}

export interface StartedAll {
  readonly result: Promise<RunAllResult>;
  /** Ends the open transactions: whatever was not committed is undone by the server. */
  abort(): Promise<void>;
}

const entry = ({ id }: LoadedMigration, share: Share, result: RunResult | null = null): RunAllEntry => ({
  migration: id,
  share,
  result,
});

type Standing = 'pending' | 'done' | 'left';

/** What was completed by a file that is another one by now is no longer known to be done. */
export async function standingOf({ state }: Session, loaded: LoadedMigration): Promise<Standing> {
  const run = await findCurrentRun(state, loaded.id);
  // What takes the old shape away is somebody's own decision.
  const pending = loaded.phase === 'contract' ? 'left' : 'pending';
  if (!run || run.state === 'restored') return pending;
  if (run.direction === 'down') return 'left';
  requireSameFile(loaded, run);
  return run.state === 'completed' ? 'done' : pending;
}

class Sequence {
  #current: StartedRun | undefined;

  constructor(
    private readonly session: Session,
    private readonly options: RunAllOptions,
  ) {}

  async abort(): Promise<void> {
    await this.#current?.abort();
  }

  async run(): Promise<RunAllResult> {
    const order = inOrder(await loadAll(this.session));
    // All of them, before the first is run: a file that was changed is said while nothing has happened.
    const standings = new Map<LoadedMigration, Standing>();
    for (const loaded of order) standings.set(loaded, await standingOf(this.session, loaded));
    const entries: RunAllEntry[] = [];
    let error: GodwitError | null = null;
    let isOver = false;
    for (const [loaded, standing] of standings) {
      if (standing !== 'pending') entries.push(entry(loaded, standing));
      else if (isOver) entries.push(entry(loaded, 'waits'));
      else {
        const result = await this.#one(loaded.id).catch((thrown: unknown) => {
          error = translateServerError(thrown);
          return null;
        });
        entries.push(entry(loaded, 'ran', result));
        isOver = result?.state !== 'completed';
      }
    }
    return { migrations: entries, ok: !isOver, error };
  }

  #one(id: string): Promise<RunResult> {
    this.#current = startRun(this.session, id, this.options);
    return this.#current.result;
  }
}

/**
 * Runs what is pending, one after the other.
 *
 * @throws (in `result`) GodwitError GODWIT_DEPENDENCY, GODWIT_MIGRATION_BROKEN, GODWIT_CHECKSUM, before anything is run;
 *   the errors of a run are in the result
 */
export function startAll(session: Session, options: RunAllOptions = {}): StartedAll {
  const sequence = new Sequence(session, options);
  return { result: sequence.run(), abort: () => sequence.abort() };
}
