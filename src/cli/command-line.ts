/** The command: parses, runs one verb, and ends with the exit code of the contract. */
import { CommanderError } from 'commander';
import { GodwitError, isGodwitError } from '../errors.js';
import { toGodwitError as fromServer } from '../godwit.js';
import { type GlobalOptions, ioOf } from './command.js';
import { EXIT } from './exit-codes.js';
import { showError } from './output/errors.js';
import type { Io } from './output/io.js';
import { buildProgram } from './program.js';
import type { Surroundings } from './surroundings.js';

/** Flags that decide how an error is shown, before anything is parsed. */
function earlyIo(argv: readonly string[], surroundings: Surroundings): Io {
  const has = (flag: string): boolean => argv.includes(flag);
  const options: Partial<GlobalOptions> = {
    json: has('--json'),
    quiet: has('--quiet'),
    verbose: has('--verbose'),
    color: !has('--no-color'),
  };
  return ioOf(options, surroundings);
}

function toError(error: unknown): GodwitError {
  if (isGodwitError(error)) return error;
  if (error instanceof CommanderError) {
    const [first, hint] = error.message.replace(/^error: /, '').split('\n');
    return new GodwitError('GODWIT_USAGE', `${first ?? ''}${hint ? ` ${hint}` : ''}`, { next: ['godwit --help'] });
  }
  return fromServer(error);
}

/**
 * Runs one command line; never throws.
 *
 * @param argv what follows `godwit`
 * @param surroundings the process's own when it is the command that runs
 * @returns the exit code
 */
export async function main(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  let code: number = EXIT.done;
  const done = (result: number): void => {
    code = result;
  };
  const program = buildProgram({ surroundings, done });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
    if (error instanceof CommanderError && error.code === 'commander.help') {
      surroundings.stderr.write(program.helpInformation());
      return EXIT.usage;
    }
    const known = toError(error);
    showError(earlyIo(argv, surroundings), known);
    return known.exitCode;
  }
}
