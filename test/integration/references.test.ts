/** Keys become references, on a real server: as asked, found again by verify, and back to the same bytes. */
import { type Db, type Document, Double, Int32, Long } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { libraryAt } from '../support/library.js';
import { brokenHistory } from '../support/observe.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { heldAt } from '../support/trouble.js';

const project = (step: string): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, references } from 'godwit';
export default defineMigration({ description: 'a test', steps: [references(${step})] });
`,
  });

const TEAMS = [
  { _id: 100, no: 1 },
  { _id: 200, no: new Long(2) },
  { _id: new Double(300.5), no: new Double(3) },
  { _id: 400, no: 4 },
  { _id: 401, no: 4 },
];

async function fill(db: Db, people: readonly Document[]): Promise<void> {
  await db.collection('teams').insertMany(TEAMS.map((team) => ({ ...team }) as Document));
  await db.collection('teams').createIndex({ no: 1 });
  await db.collection('people').insertMany(people.map((person) => ({ ...person })));
}

const RUN = ['run', 'm1', '--progress', 'none'];

describe('references', () => {
  const scratch = useScratch('references', () => inject('mongoUri'));

  const PEOPLE = [
    { _id: 1, items: [{ team: 1 }, { team: new Double(9) }, { n: 1 }], tag: 'x' },
    { _id: 2, items: [{ team: new Int32(2) }] },
    { _id: 3, items: [] },
    { _id: 4 },
  ];

  test.each([
    ['report', [{ team: 100 }, { team: 9 }, { n: 1 }], { changed: 2, failed: 0 }],
    ['null', [{ team: 100 }, { team: null }, { n: 1 }], { changed: 2, failed: 0 }],
    ['remove', [{ team: 100 }, {}, { n: 1 }], { changed: 2, failed: 0 }],
    [
      'reject',
      PEOPLE[0]?.items?.map(({ team, ...rest }) => (team ? { team: Number(team), ...rest } : rest)),
      { changed: 1, failed: 1 },
    ],
  ] as const)('that name nothing are treated as asked: %s', async (dangling, wanted, { changed, failed }) => {
    const { db, uri } = scratch.make();
    await fill(db, PEOPLE);
    const before = await hashOf(db, 'people');
    const step = `{ collection: 'people', path: 'items.team', to: 'teams', by: 'no', dangling: '${dangling}' }`;
    const m1 = libraryAt({ uri, cwd: await project(step) });
    expect(await m1.dryRun()).toMatchObject({
      references: [
        {
          keys: 2,
          ids: 0,
          dangling: 1,
          several: 0,
          documents: 1,
          whenDangling: dangling,
          first: [{ $numberInt: '1' }],
        },
      ],
    });
    expect(await m1.run({ maxFailures: 5 })).toMatchObject({ state: 'completed', changed, failed });
    const people = db.collection<{ _id: number; items?: unknown }>('people');
    expect((await people.findOne({ _id: 1 }))?.items).toEqual(wanted);
    expect((await people.findOne({ _id: 2 }))?.items).toEqual([{ team: 200 }]);
    expect(await m1.verify()).toMatchObject({ ok: failed === 0 });
    expect(await m1.rollback()).toMatchObject({ restored: changed, identical: true });
    expect(await hashOf(db, 'people')).toBe(before);
  });

  test('that dangle since the run are found by verify, those that did before are listed', async () => {
    const { db, uri } = scratch.make();
    await fill(db, PEOPLE);
    const m1 = libraryAt({
      uri,
      cwd: await project(`{ collection: 'people', path: 'items.team', to: 'teams', by: 'no' }`),
    });
    await m1.run();
    const checks = async (): Promise<unknown> => {
      const { ok: isWell, checks: all } = await m1.verify();
      const own = (all as { name: string; ok: boolean; found: unknown }[]).filter(({ name }) =>
        name.includes('a reference'),
      );
      return [
        isWell,
        ...own.map(({ name, ok, found }) => [/that dangles/.test(name) ? 'broken' : 'listed', ok, found]),
      ];
    };
    expect(await checks()).toEqual([true, ['broken', true, 0], ['listed', true, 1]]);
    await db.collection<{ _id: number }>('teams').deleteOne({ _id: 200 });
    expect(await checks()).toEqual([false, ['broken', false, 1], ['listed', true, 1]]);
  });

  test('are resolved, too, when the document they name comes while the run goes on', {
    tags: ['F50', 'P7'],
  }, async () => {
    const { db, uri } = scratch.make();
    const count = 100;
    await fill(
      db,
      Array.from({ length: count }, (_, _id) => ({ _id, team: _id === 0 ? 9 : 1 })),
    );
    const at = { db, uri, cwd: await project(`{ collection: 'people', path: 'team', to: 'teams', by: 'no' }`) };
    const args = [...RUN, '--batch-size', '10', '--workers', '1', '--json'];
    // The one that names it is through by then.
    const told = await heldAt(at, { at: 'batch:after-commit:2', args }, () =>
      db.collection<{ _id: number; no: number }>('teams').insertOne({ _id: 900, no: 9 }),
    );
    expect([told.code, told.json]).toMatchObject([0, { state: 'completed', changed: count }]);
    expect(await db.collection<{ _id: number }>('people').findOne({ _id: 0 })).toEqual({ _id: 0, team: 900 });
    expect(await db.collection('people').countDocuments({ team: 100 })).toBe(count - 1);
    expect(await brokenHistory(db)).toEqual([]);
  });

  test('to a collection that is not there are refused before anything is written', async () => {
    const { db, uri } = scratch.make();
    await fill(db, PEOPLE);
    const m1 = libraryAt({
      uri,
      cwd: await project(`{ collection: 'people', path: 'items.team', to: 'temas', by: 'no' }`),
    });
    const message = expect.stringMatching(/temas.*Did you mean "teams"/) as unknown;
    for (const work of [m1.run, m1.dryRun])
      await expect(work()).rejects.toMatchObject({ code: 'GODWIT_TARGET', exitCode: 2, message });
    expect(await db.collection('migrations').countDocuments()).toBe(0);
  });

  test('by a field without an index are warned of', async () => {
    const { db, uri } = scratch.make();
    await fill(db, PEOPLE);
    await db.collection('teams').dropIndexes();
    const at = { uri, cwd: await project(`{ collection: 'people', path: 'items.team', to: 'teams', by: 'no' }`) };
    const { stdout } = await runCommand([...RUN, '--dry-run'], at);
    expect(stdout).toContain('! lookup: teams.no has no index, so each batch reads the whole collection');
    expect(stdout).toMatch(
      /references\n\s+people\.items\.team -> teams by no\n\s+become _ids\s+2\n\s+are _ids already\s+0\n\s+DANGLE\s+1 {2}name no document of teams: left as they are/,
    );
  });
});
