import { type Command, Option } from 'commander';
import { MIGRATION_PHASES, type MigrationPhase } from '../../domain/expand-contract.js';
import { ERROR_CODES, type ErrorCode, GodwitError } from '../../errors.js';
import { dryRun, isClean, type Session, startRun, statusOf } from '../../godwit.js';
import type { RunResult } from '../../verbs/run.js';
import { action, type Call, type Invocation, whereLine } from '../command.js';
import { EXIT, restingExit } from '../exit-codes.js';
import { countingNumber, wholeNumber } from '../options.js';
import { errorJson, showError } from '../output/errors.js';
import { renderDryRun } from '../render/dry-run.js';
import { renderFailures, renderRun } from '../render/run.js';
import { lookDryAtAll, requireAllAlone, runAll } from './run-all.js';

interface RunFlags {
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly sample?: number;
  readonly showValues?: boolean;
  readonly out?: string;
  readonly phase?: MigrationPhase;
  readonly limit?: number;
  readonly only?: string;
  readonly batchSize?: number;
  readonly workers?: number;
  readonly maxFailures?: number;
  readonly maxRate?: number;
  readonly retry?: boolean;
  readonly follow?: boolean;
}

async function lookDry(invocation: Invocation, session: Session, id: string, flags: RunFlags): Promise<number> {
  const { io } = invocation;
  const showValues = flags.showValues === true && io.stdout.isTTY === true;
  const progress = invocation.progress(session, `${id} (dry run)`);
  const { report, clearSamples } = await dryRun(session, id, {
    phase: flags.phase,
    sample: flags.sample,
    only: flags.only,
    limit: flags.limit,
    batchSize: flags.batchSize,
    out: flags.out,
    showValues,
    signal: invocation.interrupts.signal,
  }).finally(() => progress.stop());
  if (flags.showValues && !showValues) io.note('values are shown on a terminal only: they stay masked here');
  io.json(report);
  io.print(
    renderDryRun({
      report,
      samples: showValues ? clearSamples : report.samples,
      where: whereLine(session),
      paint: io.paint,
      columns: io.columns,
      clear: io.clear,
    }),
  );
  return isClean(report) ? EXIT.done : EXIT.withFailures;
}

/** Over the budget: the run's own result, and beside it an error that names the failures. */
async function showStopped(invocation: Invocation, session: Session, result: RunResult): Promise<number> {
  const { io } = invocation;
  const { failures } = await statusOf(session, result.migration);
  const [first] = failures;
  const known = first && first.code in ERROR_CODES ? (first.code as ErrorCode) : 'GODWIT_FAILURES';
  const code = failures.length === 1 ? known : 'GODWIT_FAILURES';
  const message =
    failures.length === 1 && first
      ? `${first.message}`
      : `wanted at most the allowed failures, found ${result.because}`;
  const at = first?.at ? { at: first.at } : {};
  const error = new GodwitError(code, message, {
    details: { migration: result.migration, run: result.runId, failed: result.failed, document: first?.firstId, ...at },
    next: [
      `look at it    godwit status ${result.migration}`,
      // Where nothing went through, more of the same is no way on.
      ...(result.failed < result.scanned
        ? [`go on         godwit run ${result.migration} --max-failures ${Math.max(10, result.failed * 2)}`]
        : []),
      `go back       godwit rollback ${result.migration} --dry-run`,
    ],
  });
  if (io.options.json) io.json({ ...result, ...errorJson(error) });
  else showError(io, error);
  io.print([
    '',
    ...renderRun(result, io.paint, io.columns).slice(0, 3),
    ...renderFailures(failures, io.columns, io.clear),
  ]);
  return EXIT.failed;
}

async function runForReal(invocation: Invocation, session: Session, id: string, flags: RunFlags): Promise<number> {
  const { io, interrupts } = invocation;
  await invocation.confirm(session, `run ${id}`);
  const progress = invocation.progress(session, id);
  const started = startRun(session, id, {
    phase: flags.phase,
    limit: flags.limit,
    only: flags.only,
    batchSize: flags.batchSize,
    workers: flags.workers,
    maxFailures: flags.maxFailures,
    maxRate: flags.maxRate,
    retry: flags.retry,
    follow: flags.follow,
    signal: interrupts.signal,
  });
  interrupts.onLeave(started.abort);
  const result = await started.result.finally(() => progress.stop());
  if (result.state === 'failed') return showStopped(invocation, session, result);
  io.json(result);
  io.print([whereLine(session), '', ...renderRun(result, io.paint, io.columns)]);
  if (result.state !== 'completed') return restingExit(result.state);
  return result.failed > 0 ? EXIT.withFailures : EXIT.done;
}

const phaseOption = (): Option =>
  new Option('--phase <phase>', 'of a migration in phases; without it the first that is not completed').choices(
    MIGRATION_PHASES,
  );

function addDryRunOptions(command: Command): Command {
  return command
    .addOption(phaseOption())
    .option('--sample <n>', 'look at this many documents, chosen at random (with --dry-run)', countingNumber)
    .option('--out <file>', 'write the report there, too, as JSON (with --dry-run)')
    .option('--show-values', 'show values instead of their shapes, on a terminal only (with --dry-run)')
    .option('--batch-size <n>', 'documents in a batch; they adapt to the application without it', countingNumber);
}

export function addRun(program: Command, call: Call): void {
  addDryRunOptions(program.command('run [id]').description('run a migration, or go on where it was'))
    .option('--all', 'every pending migration in order, each after those it depends on')
    .option('--dry-run', 'write nothing: report what would change, fail, disappear')
    .option('--limit <n>', 'stop after this many changed documents (a canary); the next run goes on', countingNumber)
    .option('--only <docid>', 'only this document (a canary)')
    .option('--workers <n>', 'chunks worked on at once', countingNumber)
    .option('--max-rate <n>', 'documents a second, of all workers together', countingNumber)
    .option('--max-failures <n>', 'documents that may fail; 0 stops at the first', wholeNumber)
    .option('--follow', 'keep catching up with an application that writes the old shape, until stopped')
    .action(
      action<[string | undefined, RunFlags]>(call, async (invocation, _options, id, flags) => {
        if (flags.all) {
          requireAllAlone(id, { ...flags });
          if (flags.dryRun) return invocation.withSession((session) => lookDryAtAll(invocation, session, flags));
          return invocation.withSession((session) => runAll(invocation, session, flags), true);
        }
        if (id === undefined)
          throw new GodwitError('GODWIT_USAGE', 'wanted the id of a migration, or --all, found neither', {
            next: ['godwit list', 'godwit run ID', 'godwit run --all'],
          });
        if (!flags.dryRun && (flags.sample !== undefined || flags.out !== undefined || flags.showValues))
          throw new GodwitError(
            'GODWIT_USAGE',
            'wanted --dry-run beside --sample, --out or --show-values, found a real run',
            { next: [`godwit run ${id} --dry-run`] },
          );
        return invocation.withSession(
          (session) =>
            flags.dryRun ? lookDry(invocation, session, id, flags) : runForReal(invocation, session, id, flags),
          !flags.dryRun,
        );
      }),
    );
  program
    .command('retry <id>')
    .description('take the documents in quarantine up again, then go on as run does')
    .option('--batch-size <n>', 'documents in a batch', countingNumber)
    .option('--workers <n>', 'chunks worked on at once', countingNumber)
    .option('--max-failures <n>', 'documents that may fail; 0 stops at the first', wholeNumber)
    .action(
      action<[string, RunFlags]>(call, (invocation, _options, id, flags) =>
        invocation.withSession((session) => runForReal(invocation, session, id, { ...flags, retry: true }), true),
      ),
    );
  addDryRunOptions(program.command('dry-run <id>').description('the same as run <id> --dry-run')).action(
    action<[string, RunFlags]>(call, (invocation, _options, id, flags) =>
      invocation.withSession((session) => lookDry(invocation, session, id, flags)),
    ),
  );
}
