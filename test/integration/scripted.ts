/** A project with one script, and the collections that it is about. */
import type { Collection, Db } from 'mongodb';
import { inject } from 'vitest';
import { type Library, libraryAt } from '../support/library.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

export interface Doc {
  _id: number | string;
  [field: string]: unknown;
}

/** Teams are made of what the people say, who are then told the team's number. */
const TEAMS = `
  const names = (await ctx.db.distinct('people', 'team')).filter((name) => name !== 'none').sort();
  await ctx.insert('teams', names.map((name, n) => ({ _id: n, name })));
  await ctx.update('people', { team: { $exists: true } }, (doc, { reject }) =>
    doc.team === 'none' ? reject('no team') : { ...doc, teamId: names.indexOf(doc.team) });
  await ctx.update('people', {}, [{ $set: { name: { $toUpper: '$name' } } }]);
  await ctx.update('attic', { dust: true }, (doc) => ({ ...doc, swept: true }));
  await ctx.remove('attic', { dust: true });
  await ctx.replace('attic', { _id: 'kept', n: 2 });`;

const project = (body: string, collections = "['teams', 'people', 'attic']"): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, script, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [
  script({ collections: ${collections}, async up(ctx) { ${body} } }),
] });
`,
  });

const PEOPLE: readonly Doc[] = Array.from({ length: 40 }, (_, n) => ({
  ...{ _id: n, name: `p${n}`, team: n % 2 ? 'red' : 'blue' },
}));

export interface Scripted {
  readonly db: Db;
  readonly at: { readonly uri: string; readonly cwd: string };
  readonly m1: Library;
  readonly people: Collection<Doc>;
  /** Of the three collections. */
  hashes(): Promise<(string | undefined)[]>;
}

/** @returns makes a database of its own with people in it, and a script with this body */
export function useScripted(label: string): (body?: string, collections?: string) => Promise<Scripted> {
  const scratch = useScratch(label, () => inject('mongoUri'));
  return async (body = TEAMS, collections) => {
    const { db, uri } = scratch.make();
    await db.createCollection('teams');
    await db.collection<Doc>('people').insertMany([...PEOPLE]);
    await db.collection<Doc>('attic').insertMany([
      { _id: 'old', dust: true },
      { _id: 'kept', n: 1, m: 1 },
    ]);
    const cwd = await project(body, collections);
    const hashes = () => Promise.all(['teams', 'people', 'attic'].map((name) => hashOf(db, name)));
    return { db, at: { uri, cwd }, m1: libraryAt({ uri, cwd }), hashes, people: db.collection<Doc>('people') };
  };
}
