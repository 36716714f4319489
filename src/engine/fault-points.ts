/**
 * Named places where a crash test may end or hold the process: `GODWIT_FAULT=<point>:<nth hit>:<action>` together
 * with `GODWIT_TEST=1` (without which it is ignored). A test that runs the engine in its own process holds it there
 * by `onFaultPoint`. A new step of the engine gets a point here, and a test fails for a point that no crash test names.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** Those that every run comes by. */
export const FAULT_POINTS = [
  'plan:before-freeze',
  'plan:after-freeze',
  'lease:after-take',
  'sessions:after-kill',
  'chunk:after-claim',
  'batch:before-read',
  'batch:after-read',
  'batch:after-audit',
  'batch:after-checkpoint',
  'batch:after-data',
  'batch:before-commit',
  'batch:after-commit',
  'touched:before-store',
  'touched:after-store',
  'run:before-transition',
  'run:after-transition',
  'verify:before-verdict',
  'rollback:before-read',
  'rollback:after-read',
  'rollback:after-audit',
  'rollback:after-checkpoint',
  'rollback:after-data',
  'rollback:before-commit',
  'rollback:after-commit',
] as const;

/** Those of schema steps. */
export const SCHEMA_POINTS = [
  'schema:before-change',
  'schema:after-change',
  'schema:before-undo',
  'schema:after-undo',
] as const;

export type FaultPoint = (typeof FAULT_POINTS)[number];
export type SchemaPoint = (typeof SCHEMA_POINTS)[number];

interface Fault {
  readonly point: string;
  readonly hit: number;
  readonly action: string;
  readonly ms: number;
}

function parseFault(env: NodeJS.ProcessEnv): Fault | undefined {
  const text = env['GODWIT_TEST'] === '1' ? env['GODWIT_FAULT'] : undefined;
  const match =
    text === undefined ? null : /^([a-z]+:[a-z-]+):(\d+):(kill|stop|throw|sleep|exit)(?::(\d+))?$/.exec(text);
  if (!match) return undefined;
  return { point: match[1] ?? '', hit: Number(match[2]), action: match[3] ?? '', ms: Number(match[4] ?? 0) };
}

const fault = parseFault(process.env);
let hits = 0;
let listener: ((point: FaultPoint | SchemaPoint) => Promise<void>) | undefined;

/** For tests: the engine waits for `hear` at each point that it comes by, in this process; undefined: no longer. */
export function onFaultPoint(hear: typeof listener): void {
  listener = hear;
}

/** Does nothing, unless a test asked for a fault right here. */
export async function faultPoint(point: FaultPoint | SchemaPoint): Promise<void> {
  await listener?.(point);
  if (fault === undefined || fault.point !== point) return;
  hits += 1;
  if (hits !== fault.hit) return;
  if (fault.action === 'kill') process.kill(process.pid, 'SIGKILL');
  else if (fault.action === 'stop') process.kill(process.pid, 'SIGSTOP');
  else if (fault.action === 'exit') process.exit(1);
  else if (fault.action === 'throw') throw new Error(`fault at ${point}`);
  await sleep(fault.ms);
}
