/** The command as a process: its streams, and its exit code. */
import { Console } from 'node:console';
import { main } from './command-line.js';
import { ofProcess } from './surroundings.js';

// Standard output is the command's own: what a migration prints is a message like any other.
globalThis.console = new Console(process.stderr);

// A reader that went away (`godwit list | head -1`) is no error of ours, and must not end a batch half-way.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });

process.exitCode = await main(process.argv.slice(2), ofProcess());
