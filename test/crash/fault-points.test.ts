/** A process that is killed at each point of the engine. Only it is one: what goes before and behind it is called. */
import type { Collection } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { FAULT_POINTS, type FaultPoint } from '../../src/engine/fault-points.js';
import { carriedOut } from '../support/cases.js';
import { runJson } from '../support/command.js';
import { audited, brokenInvariants } from '../support/crash.js';
import { dataHash } from '../support/database.js';
import { auditEntries, brokenHistory, brokenSums } from '../support/observe.js';
import { finished, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { type ScratchDatabase, useScratch } from '../support/scratch.js';

/** Where in the life of a run a point is met, and on which hit the process is killed there. */
type Scenario = { readonly verb: 'run' | 'rollback'; readonly hit: number };

/** Every point of the engine, by name: one that is added there does not compile here without its test. */
const SCENARIOS: Readonly<Record<FaultPoint, Scenario>> = {
  'plan:before-freeze': { verb: 'run', hit: 1 },
  'plan:after-freeze': { verb: 'run', hit: 1 },
  'lease:after-take': { verb: 'run', hit: 1 },
  'sessions:after-kill': { verb: 'run', hit: 1 },
  'chunk:after-claim': { verb: 'run', hit: 1 },
  'batch:before-read': { verb: 'run', hit: 3 },
  'batch:after-read': { verb: 'run', hit: 3 },
  'batch:after-audit': { verb: 'run', hit: 3 },
  'batch:after-checkpoint': { verb: 'run', hit: 3 },
  'batch:after-data': { verb: 'run', hit: 3 },
  'batch:before-commit': { verb: 'run', hit: 3 },
  'batch:after-commit': { verb: 'run', hit: 3 },
  'touched:before-store': { verb: 'run', hit: 1 },
  'touched:after-store': { verb: 'run', hit: 1 },
  'run:before-transition': { verb: 'run', hit: 2 },
  'run:after-transition': { verb: 'run', hit: 2 },
  'verify:before-verdict': { verb: 'run', hit: 1 },
  'rollback:before-read': { verb: 'rollback', hit: 3 },
  'rollback:after-read': { verb: 'rollback', hit: 3 },
  'rollback:after-audit': { verb: 'rollback', hit: 3 },
  'rollback:after-checkpoint': { verb: 'rollback', hit: 3 },
  'rollback:after-data': { verb: 'rollback', hit: 3 },
  'rollback:before-commit': { verb: 'rollback', hit: 3 },
  'rollback:after-commit': { verb: 'rollback', hit: 3 },
};

const COUNT = 200;
const BATCH = ['--batch-size', '20'];
/** A mark that shows when a document was changed twice. */
const UP = "(doc) => ({ ...doc, mark: (doc.mark ?? '') + (doc.mark === 'x' ? '' : 'x') })";

type Person = { readonly _id: number; readonly n: number; readonly mark?: string };

/** What an undisturbed run leaves. */
interface Twin {
  readonly hash: Record<string, string>;
  readonly entries: readonly string[];
}

const peopleOf = ({ db }: ScratchDatabase): Collection<Person> => db.collection<Person>('people');

describe('a process killed at', () => {
  const scratch = useScratch('points', () => inject('mongoUri'));

  async function filled(): Promise<ScratchDatabase> {
    const place = scratch.make();
    const documents = Array.from({ length: COUNT }, (_, _id) => ({ _id, n: _id, tail: { deep: [_id] } }));
    await peopleOf(place).insertMany(documents);
    return place;
  }

  let twin: Promise<Twin> | undefined;
  async function runTwin(): Promise<Twin> {
    const { db, uri } = await filled();
    expect((await runJson(['run', 'm1', ...BATCH], { cwd: await makeMigration(UP), uri })).code).toBe(0);
    return { hash: await dataHash(db), entries: await auditEntries(db) };
  }

  const goneOn = carriedOut(FAULT_POINTS, async (point) => {
    const { verb, hit } = SCENARIOS[point];
    twin ??= runTwin();
    const { hash, entries } = await twin;
    const place = await filled();
    const { db, uri } = place;
    const people = peopleOf(place);
    const before = await dataHash(db);
    const cwd = await makeMigration(UP);
    if (verb === 'rollback') expect((await runJson(['run', 'm1', ...BATCH], { cwd, uri })).code).toBe(0);

    const env = { GODWIT_TEST: '1', GODWIT_FAULT: `${point}:${hit}:kill` };
    const args = verb === 'run' ? ['run', 'm1', ...BATCH] : ['rollback', 'm1'];
    const end = finished(startCommand([...args, '--progress', 'none'], { cwd, uri, env }));
    const isTouched = point.startsWith('touched:');
    const written = isTouched ? await writeUntil(people, end) : 0;
    expect((await end).signal).toBe('SIGKILL');

    const resumed = await runJson(args, { cwd, uri });
    expect([resumed.code, resumed.json['error'] ?? null]).toEqual([0, null]);
    expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
    if (verb === 'run') {
      expect(resumed.json).toMatchObject({ state: 'completed', changed: COUNT });
      if (point.startsWith('batch:')) expect(resumed.json).toMatchObject({ resumed: true });
      expect(await people.countDocuments({ mark: 'x' })).toBe(COUNT);
      if (!isTouched) expect([await dataHash(db), await auditEntries(db)]).toEqual([hash, entries]);
      expect((await runJson(['rollback', 'm1'], { cwd, uri })).json).toMatchObject({ conflicts: 0 });
    }
    expect(await audited(db, 'down')).toBe(await audited(db, 'up'));
    expect(await people.countDocuments({ mark: { $exists: true } })).toBe(0);
    // What the application wrote meanwhile is there, each increment once.
    expect(await sumOfN(people)).toBe((COUNT * (COUNT - 1)) / 2 + written);
    if (!isTouched) expect(await dataHash(db)).toEqual(before);
  });

  test.each(FAULT_POINTS)(
    '%s goes on as if it had lived',
    { tags: ['F01', 'F02', 'F03', 'F04', 'F05', 'F06', 'F07', 'P2', 'P3', 'P5', 'P6', 'P7'] },
    (point) => goneOn(point),
  );
});

/** Writes as an application would, until the process is dead. @returns how many increments were acknowledged */
async function writeUntil(people: Collection<Person>, end: Promise<unknown>): Promise<number> {
  let isOver = false;
  void end.then(() => {
    isOver = true;
  });
  let written = 0;
  for (; !isOver; written += 1) await people.updateOne({ _id: written % COUNT }, { $inc: { n: 1 } });
  return written;
}

async function sumOfN(people: Collection<Person>): Promise<number> {
  const [sum] = await people.aggregate<{ n: number }>([{ $group: { _id: null, n: { $sum: '$n' } } }]).toArray();
  return sum?.n ?? 0;
}
