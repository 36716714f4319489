/** What the application does to the collection that a migration looks up: one writer, a few writes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Collection } from 'mongodb';
import type { Dice } from './dice.js';
import { TEAMS, type Team, type Teams } from './teams.js';

/** Between two of its writes, in ms: each sends a third of the documents through again. */
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

function drawEdit(dice: Dice, { there }: Teams, count: number): Edit {
  const taken = new Set([...there.values()].map(({ code }) => code));
  const code = dice.pick(Array.from({ length: CODES }, (_, at) => at).filter((one) => !taken.has(one)));
  const name = `name-${count}`;
  const id = dice.int(0, TEAMS.length - 1);
  const before = there.get(id);
  if (!before) {
    const team = { _id: id, code, name };
    return { id, team, write: (teams) => teams.insertOne(team) };
  }
  switch (dice.weighted({ rename: 4, recode: 3, remove: 2, replace: 1, both: 1 })) {
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

export async function editTeams(
  collection: Collection<Team>,
  teams: Teams,
  { writes, dice, signal }: { readonly writes: number; readonly dice: Dice; readonly signal: AbortSignal },
): Promise<void> {
  for (let count = 0; count < writes && !signal.aborted && !teams.isUncertain; count += 1) {
    await sleep(dice.int(PAUSE_MS.low, PAUSE_MS.high));
    const edit = drawEdit(dice, teams, count);
    await edit.write(collection).then(
      () => teams.became(edit.id, edit.team),
      () => {
        teams.isUncertain = true;
      },
    );
  }
}
