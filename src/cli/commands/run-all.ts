/** `run --all`. */
import { GodwitError } from '../../errors.js';
import { dryRunAll, type Session, startAll } from '../../godwit.js';
import type { DryRunAllResult } from '../../verbs/dry-run-all.js';
import type { RunAllResult } from '../../verbs/run-all.js';
import { type Invocation, whereLine } from '../command.js';
import { EXIT, restingExit } from '../exit-codes.js';
import { errorJson, showError } from '../output/errors.js';
import { renderAll, renderAllLooks } from '../render/run-all.js';

export interface AllFlags {
  readonly batchSize?: number;
  readonly workers?: number;
  readonly maxFailures?: number;
  readonly maxRate?: number;
}

/** What is asked about one migration only. */
const OF_ONE = ['sample', 'out', 'showValues', 'limit', 'only', 'follow', 'phase'] as const;

/** @throws GodwitError GODWIT_USAGE for an id, or for what only one migration can be asked */
export function requireAllAlone(id: string | undefined, flags: Readonly<Record<string, unknown>>): void {
  const found = id ?? OF_ONE.find((name) => flags[name] !== undefined);
  if (found === undefined) return;
  const flag = id ?? `--${found.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new GodwitError('GODWIT_USAGE', `wanted --all by itself, found ${flag} beside it`, {
    next: ['godwit run --all', `godwit run ${id ?? 'ID'}   one of them`],
  });
}

function exitOf({ migrations, error }: RunAllResult): number {
  if (error) return error.exitCode;
  const last = migrations.findLast(({ result }) => result !== null)?.result;
  if (last && last.state === 'failed') return EXIT.failed;
  if (last && last.state !== 'completed') return restingExit(last.state);
  return migrations.some(({ result }) => result !== null && result.failed > 0) ? EXIT.withFailures : EXIT.done;
}

const exitOfLook = ({ ok, migrations }: DryRunAllResult): number => {
  if (ok) return EXIT.done;
  return migrations.find(({ error }) => error !== null)?.error?.exitCode ?? EXIT.withFailures;
};

/** `run --all --dry-run`: a report of each that is pending. */
export async function lookDryAtAll(invocation: Invocation, session: Session, flags: AllFlags): Promise<number> {
  const { io } = invocation;
  const progress = invocation.progress(session, 'all that is pending (dry run)');
  const { batchSize } = flags;
  const all = await dryRunAll(session, { batchSize, signal: invocation.interrupts.signal }).finally(() =>
    progress.stop(),
  );
  io.json({
    ...all,
    migrations: all.migrations.map(({ error, ...one }) => ({ ...one, ...(error ? errorJson(error) : {}) })),
  });
  const where = whereLine(session);
  io.print([where, '', ...renderAllLooks(all, io.paint, io.columns)]);
  return exitOfLook(all);
}

export async function runAll(invocation: Invocation, session: Session, flags: AllFlags): Promise<number> {
  const { io, interrupts } = invocation;
  await invocation.confirm(session, 'run every pending migration');
  const progress = invocation.progress(session, 'all that is pending');
  const { batchSize, workers, maxFailures, maxRate } = flags;
  const started = startAll(session, { batchSize, workers, maxFailures, maxRate, signal: interrupts.signal });
  interrupts.onLeave(started.abort);
  const all = await started.result.finally(() => progress.stop());
  const { error, ...rest } = all;
  io.json(error ? { ...rest, ...errorJson(error) } : rest);
  io.print([whereLine(session), '', ...renderAll(all, io.paint)]);
  if (error && !io.options.json) showError(io, error);
  return exitOf(all);
}
