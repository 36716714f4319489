/** `run --all --dry-run`: a dry run of every migration that is pending, in their order, each of the database as it is now. */
import type { GodwitError } from '../errors.js';
import { translateServerError } from '../mongo/server-errors.js';
import { dryRun } from './dry-run.js';
import { type DryRunReport, isClean } from './dry-run-report.js';
import { inOrder, loadAll } from './order.js';
import { standingOf } from './run-all.js';
import type { Session } from './session.js';

export interface DryRunAllEntry {
  readonly migration: string;
  /** Null where it could not be looked at. */
  readonly report: DryRunReport | null;
  /** Why it could not be. */
  readonly error: GodwitError | null;
}

export interface DryRunAllResult {
  /** Those that are pending, in their order. */
  readonly migrations: readonly DryRunAllEntry[];
  /** Each would go through as the database is now. */
  readonly ok: boolean;
}

export interface DryRunAllOptions {
  readonly batchSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws GodwitError GODWIT_DEPENDENCY, GODWIT_CHECKSUM: what no order can be made of is not looked at */
export async function dryRunAll(session: Session, options: DryRunAllOptions = {}): Promise<DryRunAllResult> {
  const migrations: DryRunAllEntry[] = [];
  for (const loaded of inOrder(await loadAll(session))) {
    if ((await standingOf(session, loaded)) !== 'pending') continue;
    const { id: migration } = loaded;
    try {
      const { report } = await dryRun(session, migration, options);
      migrations.push({ migration, report, error: null });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      migrations.push({ migration, report: null, error: translateServerError(error) });
    }
  }
  return { migrations, ok: migrations.every(({ report }) => report !== null && isClean(report)) };
}
