#!/usr/bin/env node
/** The command: parses, runs one verb, and ends with the exit code of the contract. */
import { Command, CommanderError, Option } from 'commander';
import { GodwitError, isGodwitError } from '../errors.js';
import { VERSION } from '../godwit.js';
import { redactUris } from '../kernel/redact.js';
import { type GlobalOptions, ioOf } from './command.js';
import { addDemo } from './commands/demo.js';
import { addLook } from './commands/look.js';
import { addProject } from './commands/project.js';
import { addRollback } from './commands/rollback.js';
import { addRun } from './commands/run.js';
import { EXIT } from './exit-codes.js';
import { showError } from './output/errors.js';

export function buildProgram(done: (code: number) => void): Command {
  const program = new Command('godwit')
    .description('Safe, resumable, reversible migrations for MongoDB data and Mongoose models')
    .version(VERSION, '-V, --version')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .showSuggestionAfterError(true)
    .option('--uri <uri>', 'MongoDB connection string (or MONGODB_URI)')
    .option('--db <name>', 'database, when the URI holds none')
    .option('--env <name>', 'a named environment of the configuration')
    .option('--config <file>', 'configuration file (default: godwit.config.{ts,js,mjs,json})')
    .option('--cwd <dir>', "the project's folder")
    .option('--json', 'exactly one JSON document on stdout')
    .addOption(new Option('--progress <style>', 'how progress is shown').choices(['bar', 'plain', 'ndjson', 'none']))
    .option('--no-color', 'no colours (NO_COLOR is obeyed, too)')
    .option('--quiet', 'only the result')
    .option('--verbose', 'stack traces of causes')
    .option('--yes <db>', "the database's name, as the confirmation that is asked for production");
  addProject(program, done);
  addLook(program, done);
  addRun(program, done);
  addRollback(program, done);
  addDemo(program, done);
  for (const command of program.commands) command.exitOverride().configureOutput({ writeErr: () => undefined });
  return program;
}

/** Flags that decide how an error is shown, before anything is parsed. */
function earlyIo(argv: readonly string[]): ReturnType<typeof ioOf> {
  const has = (flag: string): boolean => argv.includes(flag);
  const options: Partial<GlobalOptions> = { json: has('--json'), quiet: has('--quiet'), verbose: has('--verbose'), color: !has('--no-color') };
  return ioOf(options);
}

function toGodwitError(error: unknown): GodwitError {
  if (isGodwitError(error)) return error;
  if (error instanceof CommanderError) {
    const [first, hint] = error.message.replace(/^error: /, '').split('\n');
    return new GodwitError('GODWIT_USAGE', `${first ?? ''}${hint ? ` ${hint}` : ''}`, { next: ['godwit --help'] });
  }
  const message = error instanceof Error ? redactUris(error.message) : String(error);
  return new GodwitError('GODWIT_UNEXPECTED', message, { cause: error, next: ['again with --verbose shows where it came from'] });
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
    const known = toGodwitError(error);
    showError(earlyIo(argv), known);
    return known.exitCode;
  }
}

// A reader that went away (`godwit list | head -1`) is no error of ours, and must not end a batch half-way.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });

process.exitCode = await main(process.argv.slice(2));
