/** The command line's grammar: global options and verbs. */
import { Command, Option } from 'commander';
import { VERSION } from '../godwit.js';
import type { Call } from './command.js';
import { addControl } from './commands/control.js';
import { addDemo } from './commands/demo.js';
import { addLook } from './commands/look.js';
import { addProject } from './commands/project.js';
import { addRollback } from './commands/rollback.js';
import { addRun } from './commands/run.js';
import { addForget, addWaive } from './commands/waive.js';

export function buildProgram(call: Call): Command {
  const { stdout } = call.surroundings;
  // What is wrong with a command line is told as any other error.
  const output = {
    writeOut: (text: string): unknown => stdout.write(text),
    writeErr: () => undefined,
    getOutHelpWidth: () => stdout.columns ?? 80,
    getOutHasColors: () => false,
  };
  const program = new Command('godwit')
    .description('Safe, resumable, reversible migrations for MongoDB data and Mongoose models')
    .version(VERSION, '-V, --version')
    .exitOverride()
    .configureOutput(output)
    .showSuggestionAfterError(true)
    .option('--uri <uri>', 'MongoDB connection string (or MONGODB_URI)')
    .option('--db <name>', 'database, when the URI holds none')
    .option('--env <name>', 'a named environment of the configuration')
    .option('--env-kind <kind>', 'what a server is that no environment names: staging or production; recorded once')
    .option('--env-file <file>', 'variables for the configuration (default: .env.local and .env)')
    .option('--config <file>', 'configuration file (default: godwit.config.{ts,js,mjs,json})')
    .option('--cwd <dir>', "the project's folder")
    .option('--json', 'exactly one JSON document on stdout')
    .addOption(new Option('--progress <style>', 'how progress is shown').choices(['bar', 'plain', 'ndjson', 'none']))
    .option('--no-color', 'no colours (NO_COLOR is obeyed, too)')
    .option('--quiet', 'only the result')
    .option('--verbose', 'stack traces of causes')
    .option('--yes <db>', "the database's name, as the confirmation that is asked for production");
  addProject(program, call);
  addLook(program, call);
  addRun(program, call);
  addControl(program, call);
  addWaive(program, call);
  addForget(program, call);
  addRollback(program, call);
  addDemo(program, call);
  for (const command of program.commands) command.exitOverride().configureOutput(output);
  return program;
}
