/** Checks of what an author writes in a migration's file: what was wanted, and what was found. */
import type { Document, Filter } from 'mongodb';
import { GodwitError } from '../errors.js';

export const broken = (wanted: string, found: string): GodwitError =>
  new GodwitError('GODWIT_MIGRATION_BROKEN', `wanted ${wanted}, found ${found}`);

export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `${/^[aeiou]/.test(typeof value) ? 'an' : 'a'} ${typeof value}`;
}

const STEP = Symbol.for('godwit.step');

/** What a step function returns. */
export const madeStep = <S extends object>(step: S): Readonly<S> => Object.freeze({ ...step, [STEP]: true });

/** True for what a step function returned, of any copy of this package, and for what was spread of it. */
export const isMadeStep = (value: unknown): boolean => typeof value === 'object' && value !== null && STEP in value;

export function requireText(value: unknown, what: string): void {
  if (typeof value !== 'string' || value === '') throw broken(`${what} as a text`, describe(value));
}

export function requireKnownKeys(value: object, known: ReadonlySet<string>, what: string): void {
  const unknown = Object.keys(value).find((key) => !known.has(key));
  if (unknown !== undefined) throw broken(`the keys ${[...known].join(', ')} in ${what}`, `"${unknown}"`);
}

/** Which documents a step is about. */
export interface Choice {
  readonly filter?: Filter<Document>;
  readonly all?: true;
}

/** @param what the function that was given it, with its brackets */
export function requireChoice({ filter, all }: Choice, what: string): void {
  if (filter === null || (filter !== undefined && typeof filter !== 'object'))
    throw broken(`${what}.filter as an object`, describe(filter));
  if (filter && Object.keys(filter).length === 0)
    throw broken('a filter that chooses, or `all: true` for every document', 'an empty filter');
  if (filter && all) throw broken('either `filter` or `all: true`', 'both');
}
