/** `waive` and `forget`: somebody answers for what cannot be looked at, or no longer be finished. */
import type { Command } from 'commander';
import { forget, waive } from '../../godwit.js';
import { formatCount } from '../../kernel/units.js';
import { action, type Call } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { nextLines } from '../output/layout.js';
import { formatTime } from '../output/time.js';

interface WaiveFlags {
  readonly because: string;
  readonly until?: string;
}

/** `forget`: closes a run that nobody can finish. */
export function addForget(program: Command, call: Call): void {
  program
    .command('forget <id>')
    .description('close a run that nobody can finish; what it has changed stays, and so does its audit')
    .requiredOption('--because <reason>', 'stays on record, with who and when')
    .action(
      action<[string, { because: string }]>(call, (invocation, _options, id, flags) =>
        invocation.withSession(async (session) => {
          await invocation.confirm(session, `forget the run of ${id}`);
          const result = await forget(session, id, flags.because);
          invocation.io.json(result);
          invocation.io.print([
            `FORGOTTEN: the run of ${result.migration} (${result.state}) no longer counts.`,
            `  ${result.changed === 0 ? 'It had changed nothing.' : `${formatCount(result.changed)} documents stay as it left them: they can no longer be rolled back.`}`,
            ...nextLines(['godwit list']),
          ]);
          return EXIT.done;
        }),
      ),
    );
}

export function addWaive(program: Command, call: Call): void {
  program
    .command('waive <gate> [id]')
    .description('answer for what must hold before a contract phase: readers, watch or backup')
    .requiredOption('--because <reason>', 'stays on record, with who and when')
    .option('--until <moment>', 'a date, or a duration from now on; without it for as long as the file is the same')
    .action(
      action<[string, string | undefined, WaiveFlags]>(call, (invocation, _options, gate, id, flags) =>
        invocation.withSession(async (session) => {
          const result = await waive(session, gate, { id, ...flags });
          const { evidence } = result;
          invocation.io.json(result);
          const until = evidence.until ? ` until ${formatTime(evidence.until.toISOString())}` : '';
          invocation.io.print([
            `WAIVED: ${evidence.gate} of ${evidence.migration}${until}, by ${evidence.by}: ${evidence.because}`,
            ...nextLines([`godwit run ${evidence.migration} --dry-run`]),
          ]);
          return EXIT.done;
        }),
      ),
    );
}
