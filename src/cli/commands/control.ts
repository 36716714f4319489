/** Verbs that ask something of a run under way: pause, resume, stop, throttle. */
import type { Command } from 'commander';
import { pauseRun, resumeRun, stopRun, throttleRun } from '../../godwit.js';
import type { ControlResult, PaceOptions } from '../../verbs/control.js';
import { action, type Call, whereLine } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { countingNumber } from '../options.js';
import { renderControl } from '../render/control.js';

interface ControlFlags {
  readonly because?: string;
  readonly wait: boolean;
}

interface PaceFlags extends ControlFlags {
  readonly maxRate?: number;
  readonly batchSize?: number;
  readonly workers?: number;
  readonly reset?: boolean;
}

/** What is asked for; undefined where nothing is. */
function paceOf({ reset, maxRate, batchSize, workers }: PaceFlags): Omit<PaceOptions, 'wait'> | undefined {
  const none = reset ? null : undefined;
  const pace = { maxRate: maxRate ?? none, batchSize: batchSize ?? none, workers: workers ?? none };
  return Object.values(pace).some((value) => value !== undefined) ? pace : undefined;
}

type Act = typeof pauseRun;

const VERBS: readonly (readonly [string, string, Act])[] = [
  ['pause', 'let a run under way finish its batch, and wait', pauseRun],
  ['resume', 'let a paused run go on', resumeRun],
  ['stop', 'let a run under way finish its batch, and end; the next run goes on', stopRun],
];

export function addControl(program: Command, call: Call): void {
  for (const [verb, description, act] of VERBS)
    program
      .command(`${verb} <id>`)
      .description(description)
      .option('--because <text>', 'why: stays on record')
      .option('--no-wait', 'do not wait until the runner has answered')
      .action(
        action<[string, ControlFlags]>(call, (invocation, _options, id, flags) =>
          invocation.withSession(async (session) => {
            const result = await act(session, id, flags);
            invocation.io.json(result);
            invocation.io.print([whereLine(session), '', ...renderControl(verb, result)]);
            return EXIT.done;
          }),
        ),
      );
  program
    .command('throttle <id>')
    .description('change the pace of a run under way; without an option, tell it')
    .option('--max-rate <n>', 'documents a second, of all workers together', countingNumber)
    .option('--batch-size <n>', 'documents in a batch', countingNumber)
    .option('--workers <n>', 'chunks worked on at once', countingNumber)
    .option('--reset', 'take back what was asked before')
    .option('--no-wait', 'do not wait until the runner has answered')
    .action(
      action<[string, PaceFlags]>(call, (invocation, _options, id, flags) =>
        invocation.withSession(async (session) => {
          const pace = paceOf(flags);
          const result: ControlResult = await throttleRun(session, id, { ...pace, wait: flags.wait });
          invocation.io.json(result);
          invocation.io.print([whereLine(session), '', ...renderControl(pace ? 'throttle' : 'pace', result)]);
          return EXIT.done;
        }),
      ),
    );
}
