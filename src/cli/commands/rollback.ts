import { type Command, Option } from 'commander';
import { startRollback } from '../../godwit.js';
import { action, type Call, whereLine } from '../command.js';
import { EXIT, restingExit } from '../exit-codes.js';
import { countingNumber } from '../options.js';
import { renderRollback } from '../render/run.js';

interface RollbackFlags {
  readonly dryRun?: boolean;
  readonly onConflict?: 'report' | 'force';
  readonly only?: string;
  readonly workers?: number;
}

export function addRollback(program: Command, call: Call): void {
  program
    .command('rollback <id>')
    .description('bring back what a run changed, byte for byte, from its audit')
    .option('--dry-run', 'write nothing: report what would come back, conflict, stay')
    .addOption(
      new Option('--on-conflict <what>', 'a field that the application changed since')
        .choices(['report', 'force'])
        .default('report'),
    )
    .option('--only <docid>', 'only this document; the run stays in its state')
    .option('--workers <n>', 'chunks worked on at once', countingNumber)
    .action(
      action<[string, RollbackFlags]>(call, (invocation, _options, id, flags) =>
        invocation.withSession(async (session) => {
          const { io, interrupts } = invocation;
          if (!flags.dryRun) await invocation.confirm(session, `roll ${id} back`);
          const progress = invocation.progress(session, `${id} (rollback)`);
          const started = startRollback(session, id, { ...flags, signal: interrupts.signal });
          interrupts.onLeave(started.abort);
          const result = await started.result.finally(() => progress.stop());
          io.json(result);
          io.print([whereLine(session), '', ...renderRollback(result, io)]);
          if (!result.dryRun && flags.only === undefined && result.state !== 'rolled-back')
            return restingExit(result.state);
          const left = result.schema.filter((step) => step.left !== null).length;
          return result.conflicts + result.noBefore + left > 0 ? EXIT.withFailures : EXIT.done;
        }, flags.dryRun !== true),
      ),
    );
}
