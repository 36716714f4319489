/** Plays one schedule from its first document to its last check. */
import type { Db, Timestamp } from 'mongodb';
import { type Attempt, attempt, IMPOSTORS } from './faults.js';
import { Load } from './load.js';
import { COLLECTION } from './migration.js';
import { failedKeys } from './oracle/audit.js';
import {
  checkAllFailed,
  checkBack,
  checkBetween,
  checkDone,
  checkNeighbours,
  checkQuarantine,
  foundIn,
} from './oracle/documents.js';
import { checkImages, checkInserts, checkNewcomers } from './oracle/images.js';
import {
  checkAtRest,
  checkNothingOpen,
  checkState,
  checkTakeover,
  checkTruth,
  checkWaits,
  runNow,
  sessionsOfHolder,
} from './oracle/state.js';
import { startRunner, undisturbed } from './runner.js';
import { type Fault, has, isFinal, isOfRollback, isRefused, isRestore, type Schedule } from './schedule.js';
import { clearStage, type Stage, setStage, type Violation } from './stage.js';
import { CLOCK_MS } from './teams.js';

/** Starts until a run must be at its end: I16. */
const MAX_STARTS = 20;
const UNLIMITED = 1_000_000;

export interface Played {
  readonly schedule: Schedule;
  readonly violations: readonly Violation[];
  readonly timeline: readonly string[];
  readonly hits: readonly string[];
  readonly seconds: number;
}

/** Ends of a process that has had the lease, and what its predecessor left. */
const TOOK_OVER = ['0', '4', '7'];

type Standing = 'completed' | 'over';

class Play {
  #isOver = false;

  constructor(
    private readonly stage: Stage,
    private readonly load: Load,
    private readonly since: Timestamp,
  ) {}

  async all(): Promise<void> {
    const { ending, faults } = this.stage.schedule;
    if (isRefused(this.stage.schedule)) return this.#refused();
    await this.#forwards(faults.filter((fault) => !isOfRollback(fault)));
    if (ending === 'abandon' || this.#isOver) return this.#abandon();
    const standing = await this.#finish();
    if (standing === 'over') return this.#abandon();
    if (ending === 'complete') await this.load.stop();
    await this.#lookAtDone();
    if (ending !== 'complete') await this.#back(faults.filter(isOfRollback));
    await this.#lookAtAll();
  }

  /** A view, a capped collection, a time series: said so before anything is written. */
  async #refused(): Promise<void> {
    const { stage } = this;
    const before = await everything(stage.db);
    for (const verb of ['dry-run', 'run'] as const) {
      const { outcome } = await startRunner(stage, verb).end;
      if (outcome !== '2:GODWIT_TARGET' && (verb === 'run' || outcome !== '0'))
        stage.violate('I11', `${verb} of a ${stage.schedule.collection.shape} to be refused`, outcome);
    }
    const after = await everything(stage.db);
    if (after !== before) stage.violate('I14', 'nothing written', after);
  }

  /** One start, and the checks that hold after every one. */
  async #attempt(verb: 'run' | 'retry' | 'rollback', fault?: Fault): Promise<Attempt> {
    const dead = this.stage.isUnwatched ? await sessionsOfHolder(this.stage) : [];
    const ended = new AbortController();
    const looking = dead.length > 0 ? checkTakeover(this.stage, dead, ended.signal) : undefined;
    const done = await attempt(this.stage, verb, fault).finally(() => ended.abort());
    await looking;
    if (done.isHit && fault && 'sentinelToo' in fault && fault.sentinelToo) this.stage.isUnwatched = true;
    else if (done.exits.some(({ outcome }) => TOOK_OVER.includes(outcome))) this.stage.isUnwatched = false;
    await checkNothingOpen(this.stage);
    await checkAtRest(this.stage);
    // What comes back from a backup is not what the runner said.
    if (fault?.kind !== 'second' && !isRestore(fault)) await checkTruth(this.stage, done.exits, fault);
    if (done.isHit && fault && isFinal(fault)) this.#isOver = true;
    return done;
  }

  async #forwards(faults: readonly Fault[]): Promise<void> {
    for (const fault of faults) {
      if (this.#isOver) return;
      const now = await runNow(this.stage);
      const state = now?.state;
      if (fault.kind === 'rollback') await this.#wayBack();
      else if (fault.kind === 'retry') {
        if (now && now.failed > 0 && state !== 'rolled-back') await this.#attempt('retry', fault);
      } else if (state !== 'completed') await this.#attempt('run', fault);
    }
  }

  /** A rollback in between; finished, since a run does not go forwards over a half one. */
  async #wayBack(): Promise<void> {
    if (!(await runNow(this.stage))) return;
    await this.#attempt('rollback', { kind: 'rollback' });
    await this.#finishBack();
  }

  /** Starts the runner until the run is completed; over its budget, it goes on as its error says. */
  async #finish(): Promise<Standing> {
    for (let count = 0; count < MAX_STARTS; count += 1) {
      const now = await runNow(this.stage);
      if (now?.state === 'completed') return this.#retried();
      if (now?.state === 'failed' && now.failed > this.stage.maxFailures) this.stage.maxFailures = UNLIMITED;
      await this.#attempt('run');
      if (this.#hasBroken('I11')) return 'over';
    }
    this.stage.violate('I16', `the end of the run within ${MAX_STARTS} starts`, (await runNow(this.stage))?.state);
    return 'over';
  }

  /** Whose `up` hung once is good, and waits in quarantine for somebody to say so. */
  async #retried(): Promise<Standing> {
    if (!has(this.stage.schedule, 'hang') || (await runNow(this.stage))?.failed === 0) return 'completed';
    await this.#attempt('retry');
    return (await runNow(this.stage))?.state === 'completed' ? 'completed' : 'over';
  }

  #hasBroken(invariant: string): boolean {
    return this.stage.violations.some((violation) => violation.invariant === invariant);
  }

  async #finishBack(): Promise<void> {
    for (let count = 0; count < MAX_STARTS; count += 1) {
      const now = await runNow(this.stage);
      if (now?.state === 'rolled-back' || now === null) return;
      await this.#attempt('rollback');
      if (this.#hasBroken('I11')) return;
    }
    this.stage.violate('I16', `the end of the rollback within ${MAX_STARTS} starts`, 'none');
  }

  async #lookAtDone(): Promise<void> {
    const { stage } = this;
    const now = await runNow(stage);
    if (!now) return;
    const found = await foundIn(stage.db);
    const { ending, load } = stage.schedule;
    // Beside a load that goes on, every look is out of date.
    if (ending !== 'complete' && load.kind !== 'none') return;
    checkDone(stage, found, now.verifyingAt);
    await checkInserts(stage, { from: now.startedAt + CLOCK_MS, to: now.verifyingAt }, now.isStreamLost);
    await checkAllFailed(stage, await failedKeys(stage.db));
    await this.#provedByOthers(now.verifyingAt);
  }

  /** I6: another process finds nothing left to do. */
  async #provedByOthers(verifyingAt: number): Promise<void> {
    const { stage } = this;
    if (stage.schedule.migration.lookup && stage.model.teams.isEditedSince(verifyingAt)) return;
    const late = stage.model
      .living()
      .filter(({ shapedAt, isUncertain }) => shapedAt >= verifyingAt || isUncertain).length;
    const failures = await stage.db.collection('migrations_failures').countDocuments();
    const { json } = await undisturbed(stage, 'dry-run');
    // What the server refuses, `up` would change again.
    if (Number(json['wouldChange']) > late + failures)
      stage.violate('I6', `at most ${late + failures} documents to change`, json['wouldChange']);
    if (late > 0 || has(stage.schedule, 'state', 'ddl')) return;
    const { outcome, json: verdict } = await undisturbed(stage, 'verify');
    if (outcome !== '0' && failures === 0) stage.violate('I6', 'verify to find nothing', failing(verdict));
  }

  async #back(faults: readonly Fault[]): Promise<void> {
    const { stage } = this;
    const { ending } = stage.schedule;
    if (ending === 'rollback-killed') {
      const at = { point: 'rollback:after-data', hit: 1 } as const;
      await this.#attempt('rollback', { kind: 'kill', at, sentinelToo: false });
    }
    for (const fault of faults)
      if ((await runNow(stage))?.state !== 'rolled-back') await this.#attempt('rollback', fault);
    await this.#finishBack();
    await this.load.stop();
    const found = await foundIn(stage.db);
    checkBack(stage, found);
    const { json } = await undisturbed(stage, 'rollback');
    const now = await runNow(stage);
    if (stage.schedule.load.kind === 'none' && !now?.isStreamLost && json['identical'] !== true)
      stage.violate('I8', 'a rollback without load to be identical', JSON.stringify(json).slice(0, 400));
    checkNewcomers(stage, json, (now?.startedAt ?? Number.POSITIVE_INFINITY) + CLOCK_MS);
    checkSame(stage, found, await foundIn(stage.db));
    if (ending !== 'run-rollback-run') return;
    if ((await this.#finishAgain()) === 'completed') {
      checkDone(stage, await foundIn(stage.db), (await runNow(stage))?.verifyingAt ?? 0);
    }
  }

  async #finishAgain(): Promise<Standing> {
    await this.#attempt('run');
    return this.#finish();
  }

  /** The target was replaced, the state is gone, or nobody goes on: nothing must be half done. */
  async #abandon(): Promise<void> {
    await this.load.stop();
    const { stage } = this;
    const isReplaced = stage.schedule.faults.some((fault) => fault.kind === 'ddl' && isFinal(fault)) && this.#isOver;
    const found = await foundIn(stage.db);
    if (isReplaced) await this.#lookAtImpostors();
    else {
      checkBetween(stage, found);
      await this.#lookAtAll();
    }
  }

  async #lookAtImpostors(): Promise<void> {
    const there = await this.stage.db.collection(COLLECTION).find().sort({ _id: 1 }).toArray();
    const isUntouched = there.length === 0 || JSON.stringify(there) === JSON.stringify(IMPOSTORS);
    if (!isUntouched) this.stage.violate('I14', 'nothing written into another collection', JSON.stringify(there[0]));
  }

  async #lookAtAll(): Promise<void> {
    const { stage } = this;
    const found = await foundIn(stage.db);
    await checkImages(stage, found);
    await checkQuarantine(stage, found);
    await checkNeighbours(stage);
    await checkState(stage, this.since);
    checkWaits(stage);
  }
}

/** A second rollback only looks. */
function checkSame(stage: Stage, before: ReadonlyMap<string, Buffer>, after: ReadonlyMap<string, Buffer>): void {
  const isSame = before.size === after.size && [...before].every(([key, bytes]) => after.get(key)?.equals(bytes));
  if (!isSame) stage.violate('I8', 'a second rollback to change nothing', 'that it did');
}

/** Collections, their documents, and what is known of runs, as one text. */
async function everything(db: Db): Promise<string> {
  const listed = await db.listCollections({}, { nameOnly: true }).toArray();
  const names = listed.map(({ name }) => name).filter((name) => !name.startsWith('migrations'));
  const documents = await Promise.all(
    names.sort().map((name) => db.collection(name).find().sort({ _id: 1 }).toArray()),
  );
  const runs = await db.collection('migrations').countDocuments();
  return JSON.stringify([names, documents, runs]);
}

/** Plays the schedule in a database of its own. */
export async function play(
  schedule: Schedule,
  { server, library, main }: Pick<Stage, 'server' | 'library' | 'main'>,
): Promise<Played> {
  const startedAt = performance.now();
  const stage = await setStage(schedule, { server, library, main });
  const { operationTime } = await stage.db.command({ ping: 1 });
  const load = Load.start(server.uri, stage.db.databaseName, schedule, stage.model);
  try {
    await new Play(stage, load, operationTime as Timestamp).all();
  } finally {
    await load.stop();
    await clearStage(stage);
  }
  const { violations, timeline, hits } = stage;
  return { schedule, violations, timeline, hits, seconds: (performance.now() - startedAt) / 1_000 };
}

const failing = (verdict: Record<string, unknown>): string =>
  JSON.stringify(((verdict['checks'] ?? []) as { ok: boolean }[]).filter(({ ok }) => !ok));
