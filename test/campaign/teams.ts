/**
 * The collection that a migration looks up, as the application has it: which name each code has had, and when, so that
 * the oracle knows what a migrated document may hold.
 */
import { type Fields, get } from './raw.js';

export const TEAMS = ['red', 'green', 'blue'] as const;

export interface Team {
  readonly _id: number;
  /** What documents know it by. */
  readonly code: number;
  readonly name: string;
}

/** Null: no team has the code. */
export type TeamName = string | null;

interface Version {
  readonly name: TeamName;
  /** When the write that made it was acknowledged, in ms since 1970. */
  readonly at: number;
}

/** The server's clock against a client's estimate of it, in ms. */
export const CLOCK_MS = 50;

export const initialTeams = (): Team[] => TEAMS.map((name, _id) => ({ _id, code: _id, name }));

/** What a document knows its team by; undefined when it has none. */
export const codeOf = (fields: Fields): number | undefined => get(fields, 'team')?.readInt32LE(1);

export class Teams {
  /** By `_id`, those that are there. */
  readonly there = new Map(initialTeams().map((team) => [team._id, team]));
  readonly #versions = new Map<number, Version[]>();
  #lastAt = 0;
  #turn: Promise<void> = Promise.resolve();
  /** Acknowledged. */
  edits = 0;
  /** The result of a write is not known: nothing is said of names any more. */
  isUncertain = false;

  constructor() {
    for (const { code, name } of this.there.values()) this.#versions.set(code, [{ name, at: 0 }]);
  }

  /** One after the other. */
  inTurn(edit: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(edit);
    return this.#turn;
  }

  /** It was another one, or none, or is none from now on: acknowledged. */
  became(id: number, team: Team | undefined): void {
    const before = this.there.get(id);
    this.#lastAt = Date.now();
    this.edits += 1;
    if (team) this.there.set(id, team);
    else this.there.delete(id);
    if (before && before.code !== team?.code) this.#put(before.code, null);
    if (team) this.#put(team.code, team.name);
  }

  #put(code: number, name: TeamName): void {
    this.#versions.set(code, [...(this.#versions.get(code) ?? []), { name, at: this.#lastAt }]);
  }

  get isEdited(): boolean {
    return this.#lastAt > 0 || this.isUncertain;
  }

  /** Whether a run that had told everything at `moment` may have missed something. */
  isEditedSince(moment: number): boolean {
    return this.isUncertain || (this.#lastAt > 0 && this.#lastAt >= moment - CLOCK_MS);
  }

  /** What the document's team is called now. */
  nameNow(fields: Fields): TeamName {
    return this.#versions.get(codeOf(fields) ?? -1)?.at(-1)?.name ?? null;
  }

  /** Every name that the document's team has had at `moment` or since; `any` where nobody knows. */
  namesSince(fields: Fields, moment: number): readonly TeamName[] | 'any' {
    const code = codeOf(fields);
    if (code === undefined) return [null];
    if (this.isUncertain) return 'any';
    const versions = this.#versions.get(code) ?? [];
    const first = versions.findLastIndex(({ at }) => at < moment - CLOCK_MS);
    return versions.slice(Math.max(0, first)).map(({ name }) => name);
  }
}
