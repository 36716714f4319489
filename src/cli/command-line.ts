/** The command: parses, runs one verb, and ends with the exit code of the contract. */
import { Console } from 'node:console';
import { CommanderError } from 'commander';
import { GodwitError, isGodwitError } from '../errors.js';
import { toGodwitError as fromServer } from '../godwit.js';
import { type GlobalOptions, ioOf } from './command.js';
import { EXIT } from './exit-codes.js';
import { showError } from './output/errors.js';
import { buildProgram } from './program.js';

/** Flags that decide how an error is shown, before anything is parsed. */
function earlyIo(argv: readonly string[]): ReturnType<typeof ioOf> {
  const has = (flag: string): boolean => argv.includes(flag);
  const options: Partial<GlobalOptions> = {
    json: has('--json'),
    quiet: has('--quiet'),
    verbose: has('--verbose'),
    color: !has('--no-color'),
  };
  return ioOf(options);
}

function toError(error: unknown): GodwitError {
  if (isGodwitError(error)) return error;
  if (error instanceof CommanderError) {
    const [first, hint] = error.message.replace(/^error: /, '').split('\n');
    return new GodwitError('GODWIT_USAGE', `${first ?? ''}${hint ? ` ${hint}` : ''}`, { next: ['godwit --help'] });
  }
  return fromServer(error);
}

/** Runs one command line; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  let code: number = EXIT.done;
  const program = buildProgram((result) => {
    code = result;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
    if (error instanceof CommanderError && error.code === 'commander.help') {
      process.stderr.write(program.helpInformation());
      return EXIT.usage;
    }
    const known = toError(error);
    showError(earlyIo(argv), known);
    return known.exitCode;
  }
}

// Standard output is the command's own: what a migration prints is a message like any other.
globalThis.console = new Console(process.stderr);

// A reader that went away (`godwit list | head -1`) is no error of ours, and must not end a batch half-way.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });

process.exitCode = await main(process.argv.slice(2));
