/** A run under way: how soon it answers what it is asked, and how soon another one goes on when it was killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Db, MongoClient } from 'mongodb';
import { type ControlResult, godwit } from '../src/index.js';
import { contestantNamed } from './contestants.js';
import { type Waits, waitsOf } from './latency.js';
import type { Command } from './measure.js';

/** Between two questions, and between two looks at the audit, in ms. */
const BETWEEN_MS = 150;
const LOOK_MS = 5;
const ID = 'by-transform';
/** Batches that a run has committed when it is killed. */
const BATCHES = 6;

export interface Live {
  /** From a question to the moment when it held, by the server's clock, in ms. */
  readonly control: Waits & { readonly asked: number };
  /** From SIGKILL to the first commit of the run that is started at once, in ms. */
  readonly restartMs: readonly number[];
  /** The same where the next process cannot know that the holder is dead: the lease must run out. */
  readonly takeoverMs: readonly number[];
}

function start({ args, cwd, env }: Command): ChildProcess {
  return spawn(process.execPath, args, { cwd, env: { ...process.env, ...env }, stdio: 'ignore' });
}

const isOver = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;

const batchesOf = (db: Db): Promise<number> => db.collection('migrations_audit').countDocuments();

/** @returns false when the run has ended before */
async function moreThan(db: Db, count: number, run: ChildProcess): Promise<boolean> {
  while ((await batchesOf(db)) <= count) {
    if (isOver(run)) return false;
    await sleep(LOOK_MS);
  }
  return true;
}

export interface LiveOptions {
  readonly reset: () => Promise<void>;
  /** Of three questions each. */
  readonly rounds: number;
  readonly kills: number;
  readonly takeovers: number;
}

/** The run must be long enough for all of it. */
export async function measureLive(uri: string, { reset, rounds, kills, takeovers }: LiveOptions): Promise<Live> {
  await using client = await new MongoClient(uri).connect();
  const command = contestantNamed('transform').command(uri);
  await reset();
  const db = client.db();
  const control = await askOften(db, command, rounds);
  await reset();
  const restartMs = await killOften(db, command, kills);
  await reset();
  return { control, restartMs, takeoverMs: await killOften(db, command, takeovers, () => moveHolder(db)) };
}

/** As if the dead process had run on a machine that nobody can ask. */
async function moveHolder(db: Db): Promise<void> {
  await db
    .collection('migrations')
    .updateMany(
      { lease: { $ne: null } },
      { $set: { 'lease.owner.machine': 'elsewhere', 'lease.owner.host': 'elsewhere' } },
    );
}

/** A pause, its end, another number of workers, and again. */
async function askOften(db: Db, command: Command, rounds: number): Promise<Live['control']> {
  await using g = await godwit({ uri: String(command.env['MONGODB_URI']), cwd: command.cwd });
  const run = start(command);
  await moreThan(db, BATCHES, run);
  const times: number[] = [];
  const ask = async (question: Promise<ControlResult>): Promise<void> => {
    const { requestedAt, doneAt } = await question;
    if (requestedAt && doneAt) times.push(Date.parse(doneAt) - Date.parse(requestedAt));
    await sleep(BETWEEN_MS);
  };
  for (let count = 0; count < rounds; count += 1) {
    await ask(g.pause(ID));
    await ask(g.resume(ID));
    await ask(g.throttle(ID, { workers: 1 + (count % 2) }));
  }
  await ask(g.stop(ID));
  if (!isOver(run)) await once(run, 'exit');
  return { asked: times.length, ...waitsOf(times) };
}

async function killOften(
  db: Db,
  command: Command,
  kills: number,
  afterKill: () => Promise<void> = async () => undefined,
): Promise<number[]> {
  if (kills === 0) return [];
  const times: number[] = [];
  let run = start(command);
  while (times.length < kills) {
    if (!(await moreThan(db, (await batchesOf(db)) + BATCHES, run)))
      throw new Error('wanted a run to kill, found its end');
    const killedAt = performance.now();
    run.kill('SIGKILL');
    await once(run, 'exit');
    await afterKill();
    const before = await batchesOf(db);
    run = start(command);
    if (!(await moreThan(db, before, run))) throw new Error('wanted a run that goes on, found its end');
    times.push(Math.round(performance.now() - killedAt));
  }
  run.kill('SIGKILL');
  await once(run, 'exit');
  return times;
}
