import { describe, expect, inject, test } from 'vitest';
import { runJson } from '../support/command.js';
import { audited, brokenInvariants, type Kill, killAfter, randomFrom } from '../support/crash.js';
import { auditEntries, brokenHistory, brokenSums } from '../support/observe.js';
import { makeMigration } from '../support/project.js';
import { hashOf, type ScratchDatabase, useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';

const SEED = Number(process.env['GODWIT_TEST_SEED'] ?? 20_261_124);

interface Case {
  /** What the transform does. */
  readonly what: string;
  readonly up: string;
  readonly count: number;
  /** Kills on the way there, and on the way back. */
  readonly kills: readonly [number, number];
}

const UNORDERED = {
  what: 'adds fields out of alphabetical order',
  up: "(doc) => ({ ...doc, zeta: 1, alpha: doc.n, mid: { z: 1, a: 'x' } })",
};
const SHAPES = [
  { what: 'only adds', up: '(doc) => ({ ...doc, seen: true })' },
  { what: 'unsets', up: '({ fax, ...doc }) => doc' },
  { what: 'renames', up: '({ fullName, ...doc }) => (fullName === undefined ? doc : { ...doc, name: fullName })' },
  UNORDERED,
];
const CASES: readonly Case[] = [
  { ...UNORDERED, count: 1_000, kills: [1, 1] },
  ...SHAPES.map((shape): Case => ({ ...shape, count: 3_000, kills: [4, 2] })),
];

describe('killed on the way there and on the way back', () => {
  const scratch = useScratch('shapes', () => inject('mongoUri'));

  const fill = ({ db }: ScratchDatabase, count: number): Promise<unknown> =>
    db.collection<{ _id: number }>('people').insertMany(
      Array.from({ length: count }, (_, _id) => ({
        _id,
        fullName: `P ${_id}`,
        fax: `9${_id}`,
        n: _id,
        tail: { deep: [1, { two: 2 }] },
      })),
    );

  test.each(matrix(CASES))(
    'a transform that $what comes to the same documents, and back to the same bytes ($count documents)',
    { tags: ['P3', 'P6'] },
    async ({ what, up, count, kills: [there, back] }) => {
      const [killed, twin] = [scratch.make(), scratch.make()];
      for (const one of [killed, twin]) await fill(one, count);
      const { db, uri } = killed;
      const cwd = await makeMigration(up);
      const before = await hashOf(db, 'people');
      expect((await runJson(['run', 'm1'], { cwd, uri: twin.uri })).json).toMatchObject({ state: 'completed' });

      const random = randomFrom(SEED + what.length);
      const forwards = ['run', 'm1', '--batch-size', '50'];
      const kills: Kill[] = [];
      for (let at = 0; at < there; at += 1)
        kills.push(await killAfter(forwards, { cwd, uri }, db, 1 + Math.floor(random() * (count / 6)), random() * 20));
      const last = await runJson(forwards, { cwd, uri });
      expect(last.json).toMatchObject({ state: 'completed', changed: count, resumed: true });
      expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
      expect(await hashOf(db, 'people')).toBe(await hashOf(twin.db, 'people'));
      expect(await auditEntries(db)).toEqual(await auditEntries(twin.db));

      const backwards = ['rollback', 'm1'];
      for (let at = 0; at < back; at += 1)
        kills.push(
          await killAfter(backwards, { cwd, uri }, db, 1 + Math.floor(random() * (count / 3.5)), random() * 20, 'down'),
        );
      expect(kills.map(({ wasKilled }) => wasKilled)).toEqual(kills.map(() => true));
      const { json } = await runJson(backwards, { cwd, uri });
      expect(json).toMatchObject({ state: 'rolled-back', restored: count, identical: true });
      expect(await audited(db, 'down')).toBe(count);
      expect(await brokenHistory(db)).toEqual([]);
      expect(await hashOf(db, 'people')).toBe(before);
    },
  );
});
