/** The answer to what was asked of a run. */
import { formatCount } from '../../kernel/units.js';
import type { ControlResult } from '../../verbs/control.js';
import { nextLines } from '../output/layout.js';

const DONE: Readonly<Record<string, string>> = {
  pause: 'PAUSED: no batch is under way; the runner waits.',
  resume: 'RESUMED: the next batch has begun.',
  stop: 'STOPPED: the batch under way was finished, the cursor is saved.',
  throttle: 'PACE CHANGED with the next batch.',
};

function paceOf({ maxRate, batchSize, workers }: ControlResult): string {
  const rate =
    maxRate === null ? 'no limit of documents a second' : `at most ${formatCount(maxRate)} documents a second`;
  const size = batchSize === null ? 'as the runner was started with, or adapts it' : formatCount(batchSize);
  const at = workers === null ? 'as the runner was started with' : formatCount(workers);
  return `  ${rate}; batch size: ${size}; workers: ${at}`;
}

function headOf(verb: string, result: ControlResult): string {
  if (verb === 'pace') return 'PACE';
  if (verb === 'stop' && result.state === 'stopped') return DONE['stop'] ?? '';
  if (result.doneAt !== null) return DONE[verb] ?? '';
  if (!result.atWork)
    return verb === 'resume'
      ? 'TAKEN BACK: nobody is at work; the next runner does not wait.'
      : 'TOO LATE: the runner has come to its end before.';
  return result.acknowledgedAt === null
    ? 'ASKED: not answered yet.'
    : 'ACKNOWLEDGED: a batch is under way; it is obeyed behind it.';
}

/** @param verb the command's, or `pace` where nothing was asked */
export function renderControl(verb: string, result: ControlResult): string[] {
  const { migration } = result;
  const next = {
    pause: [`godwit resume ${migration}`, `godwit status ${migration}`],
    stop: [`godwit run ${migration}   goes on`, `godwit rollback ${migration} --dry-run`],
  }[verb] ?? [`godwit status ${migration}`];
  return [
    headOf(verb, result),
    `  ${migration}   run ${result.runId}   ${result.state}`,
    ...(verb === 'throttle' || verb === 'pace' ? [paceOf(result)] : []),
    '',
    ...nextLines(next),
  ];
}
