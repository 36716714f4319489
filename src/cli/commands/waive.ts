/** `waive`: somebody answers for what cannot be looked at. */
import type { Command } from 'commander';
import { waive } from '../../godwit.js';
import { action, type Call } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { nextLines } from '../output/layout.js';
import { formatTime } from '../output/time.js';

interface WaiveFlags {
  readonly because: string;
  readonly until?: string;
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
