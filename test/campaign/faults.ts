/** Carries one fault out: a process of the command under test, and what is done to it at its moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { deserialize, EJSON } from 'bson';
import { wrongClock } from '../support/clock.js';
import { type Dump, dump, restore, STATE } from '../support/dump.js';
import { killSentinelsOf } from '../support/observe.js';
import { allowedOutcomes } from './allowed.js';
import { diceFrom } from './dice.js';
import { COLLECTION, HANGS_AT, validatorOf } from './migration.js';
import { type Exit, type How, type Runner, startRunner, stops, undisturbed } from './runner.js';
import { actionOf, type Fault, type Moment } from './schedule.js';
import type { Stage } from './stage.js';
import { editTeam, teamsIn } from './team-load.js';

/** After the lease has certainly run out, in ms. */
const PAST_MS = 400;
/** How long DDL and edits of the state wait for a stopped runner's transaction before it is woken, in ms. */
const BESIDE_MS = 150;
/** How long the runner asks again for a commit's answer, in ms: not ten minutes, or it would always have one. */
const ASKED_MS = 1_000;
/** Longer than that: some commits stay in doubt. */
const UNKNOWN_MS = 5_000;
/** A runner whose state is brought back has gone on for so long, in ms. */
const GOES_ON_MS = 700;
/** The woken runner has that long to notice, while the second one is held, in ms. */
const NOTICE_MS = 3_000;
const HELD_AT = { run: 'batch:before-read', retry: 'batch:before-read', rollback: 'rollback:before-read' } as const;
/** Of one call of `up`, in ms: the one that hangs shall not take long. */
const TIMEOUT_MS = 500;

export interface Attempt {
  readonly exits: readonly Exit[];
  /** The fault was really done. */
  readonly isHit: boolean;
}

type FaultOf<Kind extends Fault['kind']> = Extract<Fault, { readonly kind: Kind }>;
type Forwards = 'run' | 'retry' | 'rollback';

/** One start of the command, with a fault or without; checks how it ends. */
export async function attempt(stage: Stage, verb: Forwards, fault?: Fault): Promise<Attempt> {
  const what = fault ? `: ${actionOf(fault)}${'at' in fault ? ` at ${fault.at.point}:${fault.at.hit}` : ''}` : '';
  stage.note(`${verb}${what}`);
  const done =
    fault && fault.kind !== 'rollback' && fault.kind !== 'retry'
      ? await carryOut(stage, verb, fault)
      : { exits: [await undisturbed(stage, verb)], isHit: true };
  for (const [index, exit] of done.exits.entries()) {
    const allowed = allowedOutcomes(stage.schedule, verb, fault, index > 0);
    if (!allowed.includes(exit.outcome))
      stage.violate('I11', `${verb} to end with one of ${[...new Set(allowed)].join(' ')}`, exit.outcome);
  }
  if (done.isHit && fault) stage.hits.push(`${'at' in fault ? fault.at.point : 'any time'} × ${actionOf(fault)}`);
  return done;
}

async function plain(stage: Stage, verb: Forwards, how: How = {}): Promise<Attempt> {
  return { exits: [await startRunner(stage, verb, how).end], isHit: true };
}

type Carried = Exclude<Fault, { kind: 'rollback' | 'retry' }>;

function carryOut(stage: Stage, verb: Forwards, fault: Carried): Promise<Attempt> {
  switch (fault.kind) {
    case 'kill':
      return kill(stage, verb, fault);
    case 'kill-time':
      return killLater(stage, verb, fault.ms);
    case 'stop':
      return stop(stage, verb, fault);
    case 'signal':
      return held(stage, verb, fault.at, (runner) => signal(runner, fault));
    case 'throw':
      return throwAt(stage, verb, fault.at);
    case 'fail-command':
      return held(stage, verb, fault.at, () => stage.server.fail(fault.command, fault.code, fault.times)).finally(() =>
        stage.server.failNothing(),
      );
    case 'commit-unknown':
      return held(stage, verb, fault.at, () => unknownCommits(stage), { GODWIT_OUTAGE_MS: String(ASKED_MS) });
    case 'restart':
      return held(stage, verb, fault.at, () => stage.server.crash());
    case 'ddl':
      return ddl(stage, verb, fault);
    case 'state':
      if (fault.what === 'restore') return restored(stage, verb, fault.at);
      return held(stage, verb, fault.at, () => beside(editState(stage, fault.what)));
    case 'edit':
      return held(stage, verb, fault.at, () => editLookedUp(stage, fault));
    case 'second':
      return second(stage, verb, fault.delayMs);
    case 'stepdown':
      return after(stage, verb, fault.at, () => stage.server.members.stepDown());
    case 'kill-primary':
      return after(stage, verb, fault.at, () => stage.server.crash(fault.downMs));
    case 'no-majority':
      return after(stage, verb, fault.at, () => stage.server.loseMajority(fault.ms));
    case 'wire':
      return wire(stage, verb, fault);
    case 'clock':
      return plain(stage, verb, { env: wrongClock(fault.offsetMs) });
    case 'hang':
      return plain(stage, verb, {
        env: { [HANGS_AT]: String(fault.call), GODWIT_TRANSFORM_TIMEOUT_MS: String(TIMEOUT_MS) },
      });
    case 'limit':
      return plain(stage, verb, { args: ['--limit', String(fault.limit)] });
    case 'only':
      return only(stage, verb, fault.nth);
    case 'pause':
      return paused(stage, verb, fault);
  }
}

/** One document, by its `_id` as a person would type it. */
async function only(stage: Stage, verb: Forwards, nth: number): Promise<Attempt> {
  const { initial } = stage;
  const bytes = initial[nth % initial.length];
  if (!bytes) return plain(stage, verb, {});
  const { _id } = deserialize(bytes, { promoteValues: false, validation: { utf8: false } });
  return plain(stage, verb, { args: ['--only', EJSON.stringify(_id, { relaxed: false })] });
}

/** The runner stops at the moment, the work is done, and it is woken. */
async function held(
  stage: Stage,
  verb: Forwards,
  at: Moment,
  work: (runner: Runner) => Promise<unknown>,
  env: NodeJS.ProcessEnv = {},
): Promise<Attempt> {
  const runner = startRunner(stage, verb, { act: { at, action: 'stop' }, env });
  const isHit = await stops(runner);
  if (isHit) {
    await work(runner);
    runner.child.kill('SIGCONT');
  }
  return { exits: [await runner.end], isHit };
}

/** The trouble goes on when the runner is woken; afterwards the set is whole, for whoever looks at it. */
async function after(stage: Stage, verb: Forwards, at: Moment, trouble: () => Promise<unknown>): Promise<Attempt> {
  let over: Promise<unknown> = Promise.resolve();
  const done = await held(stage, verb, at, async () => {
    over = trouble();
    // A failure is told by those who wait for it.
    over.catch(() => undefined);
  });
  await over;
  await stage.server.members.whole();
  return done;
}

function wire(stage: Stage, verb: Forwards, { at, what, ms }: FaultOf<'wire'>): Promise<Attempt> {
  const { wires } = stage;
  if (!wires) throw new Error('wanted a proxy, found none');
  const whole = (): void => wires.pass();
  return held(stage, verb, at, async () => {
    switch (what) {
      case 'slow':
        return wires.delay(ms);
      case 'cut':
        wires.cut();
        break;
      case 'black hole':
        wires.blackHole();
        break;
      case 'cut in a commit':
        void wires.cutAfter('commitTransaction').then(() => setTimeout(whole, ms));
        return;
    }
    setTimeout(whole, ms);
  }).finally(whole);
}

async function kill(stage: Stage, verb: Forwards, { at, sentinelToo }: FaultOf<'kill'>): Promise<Attempt> {
  if (sentinelToo)
    return held(stage, verb, at, async ({ child }) => {
      killSentinelsOf(child.pid);
      child.kill('SIGKILL');
    });
  const exit = await startRunner(stage, verb, { act: { at, action: 'kill' } }).end;
  return { exits: [exit], isHit: exit.outcome === 'SIGKILL' };
}

async function killLater(stage: Stage, verb: Forwards, ms: number): Promise<Attempt> {
  const runner = startRunner(stage, verb);
  await Promise.race([sleep(ms), runner.end]);
  runner.child.kill('SIGKILL');
  const exit = await runner.end;
  return { exits: [exit], isHit: exit.outcome === 'SIGKILL' };
}

async function throwAt(stage: Stage, verb: Forwards, at: Moment): Promise<Attempt> {
  const exit = await startRunner(stage, verb, { act: { at, action: 'throw' } }).end;
  return { exits: [exit], isHit: exit.outcome !== '0' };
}

async function stop(stage: Stage, verb: Forwards, fault: FaultOf<'stop'>): Promise<Attempt> {
  const first = startRunner(stage, verb, { act: { at: fault.at, action: 'stop' } });
  if (!(await stops(first))) return { exits: [await first.end], isHit: false };
  if (fault.sentinelToo) killSentinelsOf(first.child.pid);
  await sleep(stage.schedule.settings.leaseMs + PAST_MS);
  const others: Exit[] = [];
  if (fault.second === 'whole') others.push(await startRunner(stage, verb).end);
  const other = fault.second === 'held' ? await heldSecond(stage, verb, fault.at.hit) : undefined;
  stage.note(`${verb} is woken`);
  first.child.kill('SIGCONT');
  if (other) {
    await Promise.race([first.end, sleep(NOTICE_MS)]);
    other.child.kill('SIGCONT');
    others.push(await other.end);
  }
  return { exits: [await first.end, ...others], isHit: true };
}

/** A second one that has taken the lease over, and stops in the middle of its work. */
async function heldSecond(stage: Stage, verb: Forwards, hit: number): Promise<Runner> {
  const at = { point: HELD_AT[verb], hit: 1 + (hit % 2) };
  const runner = startRunner(stage, verb, { act: { at, action: 'stop' } });
  await stops(runner);
  return runner;
}

async function signal({ child }: Runner, fault: FaultOf<'signal'>): Promise<void> {
  child.kill(fault.signal);
  if (fault.times === 1) return;
  // The same signal twice while it is stopped would be one.
  child.kill('SIGCONT');
  await sleep(50);
  child.kill(fault.signal);
}

async function unknownCommits({ server }: Stage): Promise<void> {
  await server.failCommitAnswers();
  setTimeout(() => void server.failNothing(), UNKNOWN_MS);
}

/** Begun while the runner is stopped; what waits for its transaction goes on when it is woken. */
async function beside(work: Promise<unknown>): Promise<void> {
  await Promise.race([work.catch(() => undefined), sleep(BESIDE_MS)]);
}

async function editState({ db }: Stage, what: FaultOf<'state'>['what']): Promise<void> {
  const chunks = db.collection('migrations_chunks');
  if (what === 'drop-chunks') await chunks.drop();
  else if (what === 'fence') await chunks.updateMany({}, { $set: { fence: '0-edited' } });
  else {
    const open = { kind: 'range', state: 'open', 'range.upper': { $exists: true } };
    await chunks.updateOne(open, [{ $set: { cursor: { id: '$range.upper' } } }]);
  }
}

function editLookedUp({ db, model, schedule }: Stage, { at }: FaultOf<'edit'>): Promise<void> {
  const dice = diceFrom(schedule.seed + at.hit);
  return editTeam(teamsIn(db), model, schedule, dice);
}

/** The state as it was at the moment, once the runner has gone on for a while, and is dead. */
async function restored(stage: Stage, verb: Forwards, at: Moment): Promise<Attempt> {
  let backup: Dump = [];
  const done = await held(stage, verb, at, async ({ child }) => {
    backup = await dump(stage.db, STATE);
    setTimeout(() => child.kill('SIGKILL'), GOES_ON_MS);
  });
  await restore(stage.db, backup);
  return done;
}

const RENAMED = `${COLLECTION}_old`;

async function ddl(stage: Stage, verb: Forwards, fault: FaultOf<'ddl'>): Promise<Attempt> {
  let work: Promise<unknown> = Promise.resolve();
  const done = await held(stage, verb, fault.at, () => {
    work = changeCollection(stage, fault.what).catch((error: Error) => stage.note(`ddl: ${error.message}`));
    return beside(work);
  });
  await work;
  if (done.isHit && fault.what === 'rename') await stage.db.collection(RENAMED).rename(COLLECTION);
  return done;
}

/** What stands in for the collection after `recreate`: a run must leave it alone. */
export const IMPOSTORS = Array.from({ length: 20 }, (_, n) => ({ _id: n, a: `impostor ${n}`, drop: n, n: 0 }));

async function changeCollection({ db, schedule }: Stage, what: FaultOf<'ddl'>['what']): Promise<void> {
  const target = db.collection(COLLECTION);
  switch (what) {
    case 'index':
      await target.createIndex({ e: 1 });
      return;
    case 'validator': {
      const validator = schedule.collection.rule === 'validator' ? validatorOf(schedule) : { n: { $type: 'number' } };
      await db.command({ collMod: COLLECTION, validator, validationLevel: 'moderate' });
      return;
    }
    case 'drop':
      await target.drop();
      return;
    case 'recreate':
      await target.drop();
      await db.collection<{ _id: number }>(COLLECTION).insertMany(IMPOSTORS.map((document) => ({ ...document })));
      return;
    case 'rename':
      await target.rename(RENAMED);
  }
}

/** Nobody may be at work yet, or any more: then there is nothing to be asked. */
const ASKED = ['0', '2:GODWIT_USAGE', '2:GODWIT_NOT_RUN'];

async function paused(stage: Stage, verb: Forwards, { delayMs, ms, workers }: FaultOf<'pause'>): Promise<Attempt> {
  const runner = startRunner(stage, verb);
  await Promise.race([sleep(delayMs), runner.end]);
  const answers: string[] = [];
  for (const what of ['pause', ...(workers === undefined ? [] : (['throttle'] as const)), 'resume'] as const) {
    const args = what === 'throttle' ? ['--workers', String(workers)] : [];
    const { outcome } = await startRunner(stage, what, { args }).end;
    answers.push(outcome);
    if (!ASKED.includes(outcome)) stage.violate('I11', `${what} to end with one of ${ASKED.join(' ')}`, outcome);
    if (what === 'pause') await sleep(ms);
  }
  return { exits: [await runner.end], isHit: answers.every((outcome) => outcome === '0') };
}

async function second(stage: Stage, verb: Forwards, delayMs: number): Promise<Attempt> {
  const first = startRunner(stage, verb);
  await Promise.race([sleep(delayMs), first.end]);
  const other = startRunner(stage, verb);
  return { exits: await Promise.all([first.end, other.end]), isHit: true };
}
