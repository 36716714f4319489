/** Godwit's own state after each process, whatever that process said: I1, I7, I9, I10, I11, I15, I18. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Binary, Timestamp } from 'mongodb';
import { brokenInvariants } from '../../support/crash.js';
import { brokenHistory, brokenSums, openTransactions } from '../../support/observe.js';
import { COLLECTION } from '../migration.js';
import { patient } from '../patience.js';
import type { Exit } from '../runner.js';
import { type Fault, has, isRestore } from '../schedule.js';
import type { Stage } from '../stage.js';
import { batchesOf, checkChains, checkCursors, checkMetOnce, checkOplog } from './audit.js';

/** Once no process is left. */
export async function checkAtRest(stage: Stage): Promise<void> {
  const { db, schedule } = stage;
  for (const broken of await brokenInvariants(db))
    stage.violate(broken.slice(0, broken.indexOf(':')), 'it whole', broken);
  for (const broken of await brokenHistory(db)) stage.violate('I10', 'only edges of the table', broken);
  const batches = await batchesOf(db);
  // Without its chunks the audit has no head to be compared with.
  if (has(schedule, 'state')) return;
  await checkChains(stage, batches);
  await checkCursors(stage, batches);
  await checkMetOnce(stage, batches);
}

export interface RunNow {
  readonly state: string;
  readonly startedAt: number;
  readonly verifyingAt: number;
  readonly failed: number;
  readonly isStreamLost: boolean;
}

export async function runNow({ db }: Stage): Promise<RunNow | null> {
  const run = await db.collection('migrations').findOne({ current: true });
  if (!run) return null;
  const history = run['history'] as { to: string; at: Date }[];
  return {
    state: run['state'],
    startedAt: run['startedAt'].getTime(),
    verifyingAt:
      history
        .filter(({ to }) => to === 'verifying')
        .at(-1)
        ?.at.getTime() ?? 0,
    failed: run['counters'].failed,
    isStreamLost: run['stream'].isLost === true || run['undoStream']?.isLost === true,
  };
}

const STATES: Readonly<Record<string, readonly string[]>> = {
  '0': ['completed', 'rolled-back'],
  '4': ['completed', 'rolled-back'],
  '7': ['stopped'],
  '130': ['interrupted'],
};

/** I11: the exit, the JSON and the stored state say the same, where no other process has moved it since. */
export async function checkTruth(stage: Stage, exits: readonly Exit[], fault: Fault | undefined): Promise<void> {
  const [exit] = exits;
  if (!exit || exits.length > 1) return;
  const now = await runNow(stage);
  const [code] = exit.outcome.split(':') as [string];
  const wanted = STATES[code];
  // Interrupted before the lease was taken, the run stays as it was; a second Ctrl-C leaves without a word.
  const isEarly = fault?.kind === 'signal';
  if (wanted && now && !wanted.includes(now.state) && !isEarly)
    stage.violate('I11', `state ${wanted.join(' or ')} after exit ${exit.outcome}`, now.state);
  const said = exit.json['state'];
  if ((code === '0' || code === '4') && said !== now?.state) stage.violate('I11', `--json to say ${now?.state}`, said);
  if (code === '0' && exit.verb === 'run' && now?.failed !== 0) stage.violate('I11', 'exit 4 with failures', 'exit 0');
}

/** The sentinel's patience, and a busy machine's, in ms. */
const FREE_MS = 6_000;

/** I9: no open transaction of Godwit. Not asked where its sentinel was killed, until somebody has taken the run over. */
export async function checkNothingOpen(stage: Stage): Promise<void> {
  if (stage.isUnwatched) return;
  const deadline = performance.now() + patient(FREE_MS);
  let open = await openTransactions(stage.db);
  while (open > 0 && performance.now() < deadline) {
    await sleep(100);
    open = await openTransactions(stage.db);
  }
  if (open > 0) stage.violate('I9', `no open transaction ${patient(FREE_MS) / 1_000} s after the exit`, open);
}

type Lease = { readonly sessions: readonly Binary[] } | null;

const leaseOf = async ({ db }: Stage): Promise<Lease> =>
  (await db.collection('migrations').findOne({ current: true }))?.['lease'] ?? null;

/** Sessions that the holder of the lease has; empty where nobody holds it. */
export const sessionsOfHolder = async (stage: Stage): Promise<readonly Binary[]> =>
  (await leaseOf(stage))?.sessions ?? [];

/** How often it is looked whether somebody has taken over, in ms. */
const LOOK_MS = 100;

/**
 * I9: whoever takes a run over ends first what its dead holder has left open, which would go by itself only a minute or
 * more later. Looks until `signal` is aborted.
 *
 * @param dead sessions of the holder that died
 */
export async function checkTakeover(stage: Stage, dead: readonly Binary[], signal: AbortSignal): Promise<void> {
  const ids = new Set(dead.map((id) => id.toString('hex')));
  let endedAt: number | undefined;
  while (!signal.aborted) {
    // The server may be away; there is always another look.
    const lease = await leaseOf(stage).catch(() => null);
    // Once they are ended, they are in the lease no longer.
    if (lease?.sessions.every((id) => !ids.has(id.toString('hex')))) endedAt ??= performance.now();
    if (endedAt !== undefined && performance.now() > endedAt + patient(FREE_MS)) {
      const open = await openOf(stage, dead).catch(() => 0);
      if (open > 0) stage.violate('I9', 'no transaction of a dead holder open behind a takeover', open);
      return;
    }
    await sleep(LOOK_MS);
  }
}

async function openOf({ db }: Stage, sessions: readonly Binary[]): Promise<number> {
  const open = await db.client
    .db('admin')
    .aggregate([
      { $currentOp: { idleSessions: true } },
      { $match: { transaction: { $exists: true }, 'lsid.id': { $in: sessions } } },
    ])
    .toArray();
  return open.length;
}

/** What is asked at the end of a schedule only. */
export async function checkState(stage: Stage, since: Timestamp): Promise<void> {
  await checkOplog(stage, since, COLLECTION);
  const now = await runNow(stage);
  if (now?.state !== 'completed' && now?.state !== 'rolled-back') return;
  // Chunks that are dropped after the last look at them leave a run without its parts; a restored run has the figures of
  // its last second, and is retired with them.
  const hasParts = !stage.schedule.faults.some(
    (fault) => (fault.kind === 'state' && fault.what === 'drop-chunks') || isRestore(fault),
  );
  if (hasParts)
    for (const broken of await brokenSums(stage.db)) stage.violate('I15', 'the run as the sum of its chunks', broken);
  if (now.state !== 'completed') return;
  const open = await stage.db
    .collection('migrations_chunks')
    .countDocuments({ kind: 'range', state: 'open', run: (await currentId(stage)) as unknown as string });
  if (open > 0) stage.violate('I1', 'no open chunk in a completed run', open);
}

const currentId = async ({ db }: Stage): Promise<unknown> =>
  (await db.collection('migrations').findOne({ current: true }))?._id;

/** Longest time of a plain write of the application, in ms: P12's 3 s, and twice as much on a busy machine. */
const LONGEST_WAIT_MS = 6_000;

/**
 * I16: what the application waits. Not asked where nobody frees what a runner holds (its sentinel killed), the server
 * is away, or its commits go unanswered.
 */
export function checkWaits(stage: Stage): void {
  const { schedule, model } = stage;
  const isExcused = schedule.faults.some(
    (fault) =>
      ['restart', 'commit-unknown', 'ddl', 'stepdown', 'kill-primary', 'no-majority'].includes(fault.kind) ||
      ('sentinelToo' in fault && fault.sentinelToo),
  );
  if (!isExcused && model.longestWaitMs > patient(LONGEST_WAIT_MS))
    stage.violate(
      'I16',
      `no write to wait for more than ${patient(LONGEST_WAIT_MS)} ms`,
      Math.round(model.longestWaitMs),
    );
}
