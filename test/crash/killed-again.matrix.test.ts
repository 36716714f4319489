/** A run or a rollback that dies, and another verb behind it; or a second death in the takeover. */
import { describe, expect, inject, test } from 'vitest';
import { carriedOut } from '../support/cases.js';
import { type CommandResult, runCommand, runJson } from '../support/command.js';
import { brokenInvariants } from '../support/crash.js';
import { brokenHistory, brokenSums } from '../support/observe.js';
import { runProcess } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { hashOf, type ScratchDatabase, useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const COUNT = 200;
const ARGS = {
  run: ['run', 'm1', '--batch-size', '20', '--progress', 'none'],
  rollback: ['rollback', 'm1', '--progress', 'none'],
} as const;
type Verb = keyof typeof ARGS;
type Kill = readonly [Verb, point: string];

interface Case {
  /** Processes one after the other, each killed at this point. */
  readonly kills: readonly Kill[];
  /** What is asked for at last. */
  readonly last: Verb;
  /** The run is completed before. */
  readonly isDone?: boolean;
}

interface Titled extends Case {
  readonly title: string;
}

const titled = (one: Case): Titled => ({
  ...one,
  title: `${one.kills.map(([verb, point]) => `a ${verb} killed at ${point}`).join(' and ')}, ${one.last} comes to its end`,
});

const transitions = (verb: Verb, count: number): Kill[] =>
  ['before', 'after'].flatMap((side) =>
    Array.from({ length: count }, (_, n): Kill => [verb, `run:${side}-transition:${n + 1}`]),
  );

const ONCE: readonly Titled[] = [
  ...[
    'batch:after-data:1',
    'plan:after-freeze:1',
    'run:after-transition:1',
    'batch:after-commit:5',
    'verify:before-verdict:1',
    'run:after-transition:4',
  ].map((point): Case => ({ kills: [['run', point]], last: 'rollback' })),
  ...transitions('run', 4).map((kill): Case => ({ kills: [kill], last: 'run' })),
  ...transitions('rollback', 2).map((kill): Case => ({ kills: [kill], last: 'rollback', isDone: true })),
].map(titled);

const IN_A_BATCH: Kill = ['run', 'batch:after-data:3'];
const IN_AN_UNDO: Kill = ['rollback', 'rollback:after-data:3'];
const AGAIN: readonly Titled[] = [
  'sessions:after-kill:1',
  'lease:after-take:1',
  'run:before-transition:1',
  'run:after-transition:1',
]
  .flatMap((point): Case[] => [
    { kills: [IN_A_BATCH, ['run', point]], last: 'run' },
    { kills: [IN_A_BATCH, ['rollback', point]], last: 'rollback' },
    { kills: [IN_AN_UNDO, ['rollback', point]], last: 'rollback', isDone: true },
  ])
  .map(titled);

async function fill({ db }: ScratchDatabase): Promise<string | undefined> {
  await db
    .collection<{ _id: number }>('people')
    .insertMany(Array.from({ length: COUNT }, (_, _id) => ({ _id, tail: { deep: [_id] } })));
  return hashOf(db, 'people');
}

const killAt = ([verb, point]: Kill, cwd: string, uri: string): Promise<CommandResult> =>
  runProcess(ARGS[verb], { cwd, uri, env: { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:kill` } });

const scratch = useScratch('again', () => inject('mongoUri'));

async function carryOut({ kills, last, isDone }: Case) {
  const place = scratch.make();
  const { db, uri } = place;
  const before = await fill(place);
  const cwd = await makeMigration(UP);
  if (isDone) await runCommand(ARGS.run, { cwd, uri });
  const signals: (string | null)[] = [];
  for (const kill of kills) signals.push((await killAt(kill, cwd, uri)).signal);
  const end = await runJson(ARGS[last], { cwd, uri });
  const marked = await db.collection('people').countDocuments({ mark: 'x' });
  const broken = [...(await brokenInvariants(db)), ...(await brokenHistory(db))];
  const back = last === 'run' ? (await runJson(ARGS.rollback, { cwd, uri })).code : 0;
  return { signals, end, marked, rest: { broken, back, isAsBefore: (await hashOf(db, 'people')) === before } };
}

function expectCarriedOut({ kills, last }: Case, { signals, end, marked, rest }: Awaited<ReturnType<typeof carryOut>>) {
  expect(signals).toEqual(kills.map(() => 'SIGKILL'));
  expect([end.code, end.json['state'] ?? end.json]).toEqual([0, last === 'run' ? 'completed' : 'rolled-back']);
  expect(marked).toBe(last === 'run' ? COUNT : 0);
  expect(rest).toEqual({ broken: [], back: 0, isAsBefore: true });
}

describe('after', () => {
  const seen = carriedOut(matrix(ONCE), carryOut);
  test.each(matrix(ONCE))('$title', { tags: ['F07', 'P3', 'P6'] }, (one) => expectCarriedOut(one, seen(one)));
});

describe('in a takeover: after', () => {
  const seen = carriedOut(matrix(AGAIN), carryOut);
  test.each(matrix(AGAIN))('$title', { tags: ['F07', 'P3', 'P6'] }, (one) => expectCarriedOut(one, seen(one)));
});

describe('a run that died', () => {
  async function died(point: string): Promise<ScratchDatabase & { readonly cwd: string }> {
    const place = scratch.make();
    await fill(place);
    const cwd = await makeMigration(UP);
    expect((await killAt(['run', point], cwd, place.uri)).signal).toBe('SIGKILL');
    return { ...place, cwd };
  }

  test('with the lease and before its first batch can be rolled back: there is nothing to undo', async () => {
    const { cwd, uri } = await died('lease:after-take:1');
    const back = await runJson(ARGS.rollback, { cwd, uri });
    expect([back.code, back.json]).toMatchObject([0, { state: 'rolled-back', restored: 0 }]);
  });

  test('and was rolled back at once has the figures of its chunks', async () => {
    const { db, cwd, uri } = await died('batch:after-commit:7');
    expect((await runJson(ARGS.rollback, { cwd, uri })).json).toMatchObject({ restored: 140 });
    expect(await brokenSums(db)).toEqual([]);
  });

  // Open: what is left is a few chunks that no run points to; they harm nothing.
  test('before its plan was frozen leaves no chunks, a day later, once the next one is planned', async () => {
    const { db, cwd, uri } = await died('plan:before-freeze:1');
    await db.collection('migrations_chunks').updateMany({}, { $set: { at: new Date(Date.now() - 25 * 3_600_000) } });
    expect((await runJson(ARGS.run, { cwd, uri })).json).toMatchObject({ state: 'completed' });
    const runs = await db.collection('migrations').distinct('_id');
    expect(await db.collection('migrations_chunks').distinct('run')).toEqual(runs);
  });
});
