/** One process of the command under test, and how it ended in one text. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { isStopped } from '../support/observe.js';
import { finished, startCommand } from '../support/process.js';
import { CANARY } from './documents.js';
import type { Answer } from './library.js';
import { patient } from './patience.js';
import type { Moment } from './schedule.js';
import type { Stage } from './stage.js';

export type Verb = 'run' | 'retry' | 'rollback' | 'verify' | 'dry-run' | 'pause' | 'resume' | 'throttle';

export interface Exit {
  readonly verb: Verb;
  /** `0`, `4`, `SIGKILL`, or with the error's code: `5:GODWIT_LEASE_LOST`. */
  readonly outcome: string;
  readonly json: Record<string, unknown>;
}

export interface Runner {
  readonly child: ChildProcess;
  readonly end: Promise<Exit>;
}

/** A runner that is still there after this long hangs, in ms; behind a slow wire every statement takes its time. */
const HANGS_MS = 90_000;
const HANGS_SLOW_MS = 300_000;

const limitOf = ({ schedule }: Stage): number =>
  patient(schedule.faults.some((fault) => fault.kind === 'wire' && fault.what === 'slow') ? HANGS_SLOW_MS : HANGS_MS);

const envOf = ({ schedule }: Stage): Record<string, string> => ({
  GODWIT_TEST: '1',
  GODWIT_LEASE_MS: String(schedule.settings.leaseMs),
});

function argsOf(verb: Verb, { schedule, maxFailures }: Stage, more: readonly string[]): string[] {
  const { batchSize, workers } = schedule.settings;
  const own: Readonly<Record<Verb, readonly (string | number)[]>> = {
    run: ['--batch-size', batchSize, '--workers', workers, '--max-failures', maxFailures],
    retry: ['--batch-size', batchSize, '--workers', workers, '--max-failures', maxFailures],
    rollback: ['--workers', workers],
    verify: [],
    'dry-run': ['--batch-size', batchSize],
    pause: [],
    throttle: [],
    resume: [],
  };
  return [verb, 'm1', ...own[verb].map(String), ...more, '--progress', 'none', '--json'];
}

/** What a process does at a moment by itself. */
export interface Act {
  readonly at: Moment;
  readonly action: 'kill' | 'stop' | 'throw';
}

export interface How {
  readonly act?: Act;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export function startRunner(stage: Stage, verb: Verb, { act, args = [], env: more = {} }: How = {}): Runner {
  const { cwd, uri, main } = stage;
  const env = {
    ...envOf(stage),
    ...more,
    ...(act ? { GODWIT_FAULT: `${act.at.point}:${act.at.hit}:${act.action}` } : {}),
  };
  const child = startCommand(argsOf(verb, stage, args), { cwd, uri, main, env });
  const limitMs = limitOf(stage);
  const limit = setTimeout(() => {
    stage.violate('I16', `${verb} ended within ${limitMs / 1_000} s`, 'that it went on');
    child.kill('SIGKILL');
  }, limitMs);
  return { child, end: exitOf(stage, verb, child).finally(() => clearTimeout(limit)) };
}

async function exitOf(stage: Stage, verb: Verb, child: ChildProcess): Promise<Exit> {
  const { code, signal, stdout, stderr } = await finished(child);
  if (`${stdout}${stderr}`.includes(CANARY)) stage.violate('I13', 'no value of a document in the output', CANARY);
  if (code === null) {
    stage.note(`${verb} ended by ${signal}`);
    return { verb, outcome: String(signal), json: {} };
  }
  const json = parsed(stdout);
  // A second Ctrl-C leaves at once, and says nothing any more.
  if (json === undefined && code !== 130)
    stage.violate('I11', `one JSON document from ${verb} (exit ${code})`, stdout.slice(0, 200) + stderr.slice(-400));
  const error = (json?.['error'] as { code?: string } | undefined)?.code;
  const outcome = error === undefined ? String(code) : `${code}:${error}`;
  stage.note(`${verb} ended with ${outcome} ${summaryOf(json ?? {})}`);
  return { verb, outcome, json: json ?? {} };
}

/** One in so many schedules does by the command what the others do by the library; what is killed is always a command. */
const BY_COMMAND = 4;

/** Done without a fault: by the command, or, which takes a third of the time, by the library in a warm process. */
export function undisturbed(stage: Stage, verb: LibraryVerb): Promise<Exit> {
  return stage.schedule.seed % BY_COMMAND === 0 ? startRunner(stage, verb).end : byLibrary(stage, verb);
}

type LibraryVerb = Extract<Verb, 'run' | 'retry' | 'rollback' | 'verify' | 'dry-run'>;

async function byLibrary(stage: Stage, verb: LibraryVerb): Promise<Exit> {
  const { cwd, uri, main, schedule, maxFailures } = stage;
  const { batchSize, workers } = schedule.settings;
  const options = {
    run: { batchSize, workers, maxFailures },
    retry: { batchSize, workers, maxFailures },
    rollback: { workers },
    verify: {},
    'dry-run': { batchSize },
  }[verb];
  const answer = await stage.library.ask(main, { verb, uri, cwd, env: envOf(stage), options }, limitOf(stage));
  if (JSON.stringify(answer).includes(CANARY)) stage.violate('I13', 'no value of a document in the result', CANARY);
  const { json = {}, error } = answer;
  // As the command puts it.
  const shown = error ? { ...json, error } : json;
  const exit = { verb, outcome: outcomeOf(verb, answer), json: shown };
  stage.note(`${verb} by the library ended with ${exit.outcome} ${summaryOf(shown)}`);
  return exit;
}

/** The exit code that the command makes of it: docs/reference/cli.md. */
function outcomeOf(verb: LibraryVerb, { json = {}, error }: Answer): string {
  if (error) return `${error.exitCode ?? 1}:${error.code ?? 'GODWIT_UNEXPECTED'}`;
  if (verb === 'verify') return json['ok'] === true ? '0' : '6';
  if (verb === 'dry-run') return '0';
  if (verb === 'rollback') return Number(json['conflicts']) + Number(json['noBefore']) > 0 ? '4' : '0';
  if (json['state'] === 'failed') return '1:GODWIT_FAILURES';
  if (json['state'] !== 'completed') return '7';
  return Number(json['failed']) > 0 ? '4' : '0';
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

const SHOWN = ['state', 'scanned', 'changed', 'failed', 'restored', 'conflicts', 'noBefore', 'identical', 'ok'];

function summaryOf(json: Record<string, unknown>): string {
  const { message } = (json['error'] ?? {}) as { message?: string };
  const figures = SHOWN.filter((name) => name in json).map((name) => `${name} ${String(json[name])}`);
  return [...figures, ...(message ? [message] : [])].join(', ');
}

/** Waits until the runner has stopped itself at its moment; false when it ended without coming by. */
export async function stops({ child }: Runner): Promise<boolean> {
  while (child.exitCode === null && child.signalCode === null) {
    if (isStoppedNow(child.pid)) return true;
    await sleep(10);
  }
  return false;
}

function isStoppedNow(pid: number | undefined): boolean {
  try {
    return isStopped(pid);
  } catch {
    return false; // gone meanwhile
  }
}
