import type { Command } from 'commander';
import { playDemo } from '../../demo/demo.js';
import { action, type Call } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { countingNumber } from '../options.js';

export function addDemo(program: Command, call: Call): void {
  program
    .command('demo')
    .description('the main job on a MongoDB of its own: dry run, canary, kill, resume, verify, rollback')
    .option('--docs <n>', 'customers in the CRM', countingNumber, 20_000)
    .option('--keep', 'leave the server running until Ctrl-C')
    .action(
      action<[{ docs: number; keep?: boolean }]>(call, async ({ io, interrupts, options, env }, _all, flags) => {
        const uri = options.uri ?? env['MONGODB_URI'];
        const say = (line: string): void => (io.options.json ? io.note(line) : io.print([line]));
        const result = await playDemo({
          docs: flags.docs,
          keep: flags.keep ?? false,
          uri,
          signal: interrupts.signal,
          say,
        });
        io.json(result);
        return result.ok ? EXIT.done : EXIT.failed;
      }),
    );
}
