/** `pause`, `resume`, `stop`, `throttle`: asks something of a run under way, from whatever machine, and waits for its answer. */
import type { Control, Pace } from '../domain/control.js';
import { isLive, isSpent, type RunDocument, type RunState } from '../domain/run.js';
import { lifeOf, whoami } from '../engine/owner.js';
import { GodwitError } from '../errors.js';
import { pause as wait } from '../kernel/retry.js';
import { type Asked, ask } from '../mongo/control.js';
import { findRun } from '../mongo/runs.js';
import { loadById } from './by-id.js';
import { requireRun, type Session } from './session.js';

/** How long an answer is waited for, in ms: a batch, and a runner that looks every 250 ms. */
const ANSWER_MS = 15_000;
const LOOK_MS = 50;

export interface ControlOptions {
  readonly because?: string | undefined;
  /** False: does not wait until the runner has answered. */
  readonly wait?: boolean | undefined;
}

export interface PaceOptions extends ControlOptions {
  /** Documents a second, of all workers together; null takes it back. */
  readonly maxRate?: number | null | undefined;
  /** Documents of a batch, fixed; null takes it back. */
  readonly batchSize?: number | null | undefined;
  /** Chunks worked on at once; null takes it back. */
  readonly workers?: number | null | undefined;
}

export interface ControlResult {
  readonly migration: string;
  readonly runId: string;
  readonly state: RunState;
  readonly requestedAt: string | null;
  /** The runner has read it; null when it was not waited for. */
  readonly acknowledgedAt: string | null;
  /** It holds. */
  readonly doneAt: string | null;
  /** A runner is there that will answer. */
  readonly atWork: boolean;
  readonly paused: boolean;
  readonly maxRate: number | null;
  readonly batchSize: number | null;
  readonly workers: number | null;
}

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

const isAtWork = ({ state, lease }: RunDocument): boolean =>
  isLive(state) && lease !== null && lifeOf(lease.owner) !== 'dead';

function resultOf(run: RunDocument): ControlResult {
  const { migration, _id, state, control } = run;
  return {
    atWork: isAtWork(run),
    ...{ migration, runId: _id, state },
    requestedAt: iso(control.requestedAt),
    acknowledgedAt: iso(control.acknowledgedAt),
    doneAt: iso(control.doneAt),
    paused: control.pause !== null,
    maxRate: control.pace?.maxRate ?? null,
    batchSize: control.pace?.batchSize ?? null,
    workers: control.pace?.workers ?? null,
  };
}

/** A run that somebody works on. @throws GodwitError GODWIT_NOT_RUN, GODWIT_USAGE */
async function requireLive(session: Session, id: string): Promise<RunDocument> {
  const { id: migration } = await loadById(session, id);
  const run = await requireRun(session, migration);
  if (isAtWork(run)) return run;
  throw new GodwitError('GODWIT_USAGE', `wanted a run of ${migration} under way, found nobody at work (${run.state})`, {
    next: [
      ...(isWayOn(run.state) ? [`godwit run ${migration}   goes on where it was`] : []),
      `godwit status ${migration}`,
    ],
  });
}

/** It came to rest before its end. */
const isWayOn = (state: RunState): boolean => state !== 'completed' && !isSpent(state);

const isAnswered = ({ acknowledgedAt, doneAt }: Control, until: 'acknowledged' | 'done'): boolean =>
  until === 'done' ? doneAt !== null : acknowledgedAt !== null;

/** @throws GodwitError GODWIT_NO_ANSWER when the runner does not answer in time */
async function answered(session: Session, run: RunDocument, requestedAt: Date | null): Promise<RunDocument> {
  const deadline = performance.now() + ANSWER_MS;
  for (;;) {
    const now = await findRun(session.state, run._id);
    if (!now) throw new GodwitError('GODWIT_STATE_LOST', `wanted run ${run._id}, found it gone`);
    const isOurs = now.control.requestedAt?.getTime() === requestedAt?.getTime();
    // Who has stopped answers no more; somebody else may have asked for something else meanwhile.
    if (!isOurs || isAnswered(now.control, 'done') || !isLive(now.state)) return now;
    if (performance.now() > deadline) {
      if (isAnswered(now.control, 'acknowledged')) return now;
      throw new GodwitError(
        'GODWIT_NO_ANSWER',
        `wanted ${run.migration} to answer within ${ANSWER_MS / 1_000} s, found that its runner did not; what was asked stays asked`,
        { next: [`godwit status ${run.migration}   says who runs it, and when it was last heard of`] },
      );
    }
    await wait(LOOK_MS);
  }
}

async function request(
  session: Session,
  run: RunDocument,
  asked: Omit<Asked, 'by' | 'because'>,
  options: ControlOptions,
): Promise<ControlResult> {
  const control = await ask(session.state, run._id, { ...asked, by: whoami(), because: options.because ?? null });
  if (options.wait === false || !control) return resultOf({ ...run, control: control ?? run.control });
  return resultOf(await answered(session, run, control.requestedAt));
}

/** The batch under way is finished; then the run waits until it is resumed. */
export const pauseRun = async (session: Session, id: string, options: ControlOptions = {}): Promise<ControlResult> =>
  request(session, await requireLive(session, id), { what: 'pause' }, options);

/** Takes a pause back, also that of a run whose runner has gone meanwhile: the next one does not wait then. */
export async function resumeRun(session: Session, id: string, options: ControlOptions = {}): Promise<ControlResult> {
  const { id: migration } = await loadById(session, id);
  const run = await requireRun(session, migration);
  const isWaitedFor = isAtWork(run) && options.wait !== false;
  return request(session, run, { what: 'pause', isTakenBack: true }, { ...options, wait: isWaitedFor });
}

/** The runner finishes its batch, and leaves; `run` goes on. */
export const stopRun = async (session: Session, id: string, options: ControlOptions = {}): Promise<ControlResult> =>
  request(session, await requireLive(session, id), { what: 'stop' }, options);

/** What is asked for, what was asked before, or as the runner was started with. */
const paceAfter = ({ pace }: Control, { maxRate, batchSize, workers }: PaceOptions): Pace => ({
  maxRate: maxRate === undefined ? (pace?.maxRate ?? null) : maxRate,
  batchSize: batchSize === undefined ? (pace?.batchSize ?? null) : batchSize,
  workers: workers === undefined ? (pace?.workers ?? null) : workers,
});

/** @throws GodwitError GODWIT_USAGE for what would hold a run for ever */
function requireCount(name: string, value: number | null | undefined): void {
  if (value === undefined || value === null || (Number.isInteger(value) && value > 0)) return;
  throw new GodwitError('GODWIT_USAGE', `wanted a whole number above 0 as ${name}, found ${value}`);
}

/** A runner has its sessions from the beginning, and each worker needs one. @throws GodwitError GODWIT_USAGE */
function requireSessions({ migration, lease }: RunDocument, workers: number): void {
  const most = lease?.sessions.length ?? 0;
  if (workers <= most) return;
  throw new GodwitError(
    'GODWIT_USAGE',
    `wanted at most ${most} workers while ${migration} is under way, found ${workers}`,
    {
      next: [
        `godwit throttle ${migration} --workers ${most}`,
        `godwit stop ${migration}, then godwit run ${migration} --workers ${workers}`,
      ],
    },
  );
}

/** Changes the pace of a run under way; without anything to change, it only tells the pace. */
export async function throttleRun(session: Session, id: string, options: PaceOptions = {}): Promise<ControlResult> {
  const { maxRate, batchSize, workers } = options;
  if (maxRate === undefined && batchSize === undefined && workers === undefined) {
    const { id: migration } = await loadById(session, id);
    return resultOf(await requireRun(session, migration));
  }
  for (const [name, value] of Object.entries({ maxRate, batchSize, workers })) requireCount(name, value);
  const run = await requireLive(session, id);
  if (workers) requireSessions(run, workers);
  return request(session, run, { what: 'pace', pace: paceAfter(run.control, options) }, options);
}
