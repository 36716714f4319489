/** What the application does to the collection that a migration looks up: one writer, a few writes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Collection, Db } from 'mongodb';
import { type Dice, diceFrom } from './dice.js';
import { LOOKED_UP } from './migration.js';
import type { Model } from './model.js';
import type { Schedule } from './schedule.js';
import { TEAMS, type Team, type Teams } from './teams.js';

/** Share of its writes that come when some batches more are committed, in the middle of a run; the others by the clock. */
const BY_BATCHES = 0.8;
/** How far the last of them may come behind the batches of a run that meets no edit: where it catches up. */
const BEYOND = 1.5;
/** How often it looks whether they are, and after which time it waits no longer, in ms: a run of few batches has no more. */
const LOOK_MS = 15;
const WAIT_MS = 8_000;
/** Between two of its writes by the clock, in ms: each sends a third of the documents through again. */
const PAUSE_MS = { low: 50, high: 900 };
/** Codes that teams get: those above the documents' own are nobody's. */
const CODES = 6;

interface Edit {
  readonly id: number;
  /** Undefined: it goes. */
  readonly team: Team | undefined;
  write(teams: Collection<Team>): Promise<unknown>;
}

const replaced = (team: Team): Edit => ({
  ...{ id: team._id, team },
  write: (teams) => teams.replaceOne({ _id: team._id }, { code: team.code, name: team.name }),
});

/** Whose key stays: a run knows whom each concerns, and looks at nobody else again. */
const RENAMES = { rename: 4, replace: 1 } as const;
const ALL = { ...RENAMES, recode: 3, remove: 2, both: 1 } as const;
/** Share of the schedules with renames alone: one edit of another kind, and the run looks at everything in the end. */
const RENAMES_ONLY = 0.5;

const kindsOf = ({ seed }: Schedule): (keyof typeof ALL)[] =>
  Object.keys(diceFrom(seed).chance(RENAMES_ONLY) ? RENAMES : ALL) as (keyof typeof ALL)[];

function drawEdit(dice: Dice, schedule: Schedule, { there, edits }: Teams): Edit {
  const taken = new Set([...there.values()].map(({ code }) => code));
  const code = dice.pick(Array.from({ length: CODES }, (_, at) => at).filter((one) => !taken.has(one)));
  const name = `name-${edits}`;
  const id = dice.int(0, TEAMS.length - 1);
  const before = there.get(id);
  if (!before) {
    const team = { _id: id, code, name };
    return { id, team, write: (teams) => teams.insertOne(team) };
  }
  switch (dice.weighted(ALL, kindsOf(schedule))) {
    case 'rename':
      return { id, team: { ...before, name }, write: (teams) => teams.updateOne({ _id: id }, { $set: { name } }) };
    case 'recode':
      return { id, team: { ...before, code }, write: (teams) => teams.updateOne({ _id: id }, { $set: { code } }) };
    case 'remove':
      return { id, team: undefined, write: (teams) => teams.deleteOne({ _id: id }) };
    case 'replace':
      return replaced({ ...before, name });
    case 'both':
      return replaced({ _id: id, code, name });
  }
}

/** As the application writes to it. */
export const teamsIn = (db: Db): Collection<Team> =>
  db.collection<Team>(LOOKED_UP, { writeConcern: { w: 'majority' } });

/** One edit; of two at once the second waits, so that their order is known. */
export const editTeam = (
  collection: Collection<Team>,
  { teams }: Model,
  schedule: Schedule,
  dice: Dice,
): Promise<void> =>
  teams.inTurn(async () => {
    const edit = drawEdit(dice, schedule, teams);
    await edit.write(collection).then(
      () => teams.became(edit.id, edit.team),
      () => {
        teams.isUncertain = true;
      },
    );
  });

export interface TeamLoad {
  readonly signal: AbortSignal;
  /** Batches that are committed. */
  batches(): Promise<number>;
}

export async function editTeams(
  collection: Collection<Team>,
  model: Model,
  schedule: Schedule,
  load: TeamLoad,
): Promise<void> {
  const dice = diceFrom(schedule.seed);
  for (let left = schedule.load.teamWrites ?? 0; left > 0 && !model.teams.isUncertain; left -= 1) {
    await nextMoment(dice, schedule, load);
    if (load.signal.aborted) return;
    await editTeam(collection, model, schedule, dice);
  }
}

async function nextMoment(dice: Dice, schedule: Schedule, { signal, batches }: TeamLoad): Promise<void> {
  const { collection, settings, load } = schedule;
  const expected = collection.docs / settings.batchSize;
  const ms = dice.int(PAUSE_MS.low, PAUSE_MS.high);
  const more = dice.int(0, Math.ceil((2 * BEYOND * expected) / (load.teamWrites ?? 1)));
  if (!dice.chance(BY_BATCHES)) return sleep(ms);
  const wanted = Math.max(1, (await batches()) + more);
  const deadline = performance.now() + WAIT_MS;
  while (!signal.aborted && performance.now() < deadline && (await batches()) < wanted) await sleep(LOOK_MS);
}
