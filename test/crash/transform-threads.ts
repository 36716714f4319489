/** Projects whose transform is slow enough for threads, and databases for them. */
import { Decimal128, Double, Long } from 'mongodb';
import { inject } from 'vitest';
import { makeMigration } from '../support/project.js';
import { type ScratchDatabase, useScratch } from '../support/scratch.js';

export const COUNT = 1_200;
/** Two milliseconds for each document: threads come after some 500. */
export const SPIN = 'const end = performance.now() + 2; while (performance.now() < end);';
/** Of every kind of end: changed in several ways, skipped, rejected, thrown, given back as it was. */
export const UP = `(doc, { lookup, skip, reject, keep }) => {
  ${SPIN}
  console.log('a message');
  if (doc._id % 100 === 1) return skip('right');
  if (doc._id % 100 === 2) return reject('not good: ' + doc.text);
  if (doc._id % 100 === 3) throw new Error('a text: ' + doc.text);
  if (doc._id % 100 === 4) return doc;
  const { old, ...rest } = doc;
  return { ...rest, team: lookup.team.get(doc.team)?.name ?? doc.team, kept: keep('dec'), 'a.b': 1, $c: [doc.n], 7: 'x' };
}`;
const LOOKUP = "collection: 'people', lookup: { team: { from: 'teams', localField: 'team', foreignField: '_id' } }";
export const RUN = ['run', 'm1', '--batch-size', '100', '--max-failures', '1000', '--progress', 'plain', '--json'];

export interface Heavy extends ScratchDatabase {
  readonly cwd: string;
}

/** @returns makes a database with documents, and a project */
export function useHeavy(): (up?: string, count?: number) => Promise<Heavy> {
  const scratch = useScratch('threads', () => inject('mongoUri'));
  return async (up = UP, count = COUNT) => {
    const place = scratch.make();
    await place.db
      .collection<{ _id: number; name?: string }>('teams')
      .insertMany([{ _id: 1, name: 'one' }, { _id: 2 }]);
    await place.db.collection<{ _id: number }>('people').insertMany(
      Array.from({ length: count }, (_, _id) => ({
        _id,
        text: `Secret-${_id}`,
        n: new Double(_id),
        old: new Date(_id),
        dec: Decimal128.fromString('5.00'),
        long: Long.fromString('9007199254740993'),
        team: (_id % 3) + 1,
      })),
      { ignoreUndefined: true },
    );
    return { ...place, cwd: await makeMigration(up, LOOKUP) };
  };
}
