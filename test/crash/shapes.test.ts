import { describe, expect, inject, test } from 'vitest';
import { runJson } from '../support/command.js';
import { audited, brokenInvariants, type Kill, killAfter, randomFrom } from '../support/crash.js';
import { auditEntries, brokenHistory, brokenSums } from '../support/observe.js';
import { makeMigration } from '../support/project.js';
import { hashOf, type ScratchDatabase, useScratch } from '../support/scratch.js';

const SEED = Number(process.env['GODWIT_TEST_SEED'] ?? 20_261_124);
const COUNT = 3_000;
const KILLS = 4;
const KILLS_ON_THE_WAY_BACK = 2;

const SHAPES = [
  ['only adds', '(doc) => ({ ...doc, seen: true })'],
  ['unsets', '({ fax, ...doc }) => doc'],
  ['renames', '({ fullName, ...doc }) => (fullName === undefined ? doc : { ...doc, name: fullName })'],
  ['adds fields out of alphabetical order', "(doc) => ({ ...doc, zeta: 1, alpha: doc.n, mid: { z: 1, a: 'x' } })"],
] as const;

describe('killed on the way there and on the way back', () => {
  const scratch = useScratch('shapes', () => inject('mongoUri'));

  const fill = ({ db }: ScratchDatabase): Promise<unknown> =>
    db.collection<{ _id: number }>('people').insertMany(
      Array.from({ length: COUNT }, (_, _id) => ({
        _id,
        fullName: `P ${_id}`,
        fax: `9${_id}`,
        n: _id,
        tail: { deep: [1, { two: 2 }] },
      })),
    );

  test.each(SHAPES)(
    'a transform that %s comes to the same documents, and back to the same bytes',
    {
      timeout: 120_000,
    },
    async (what, up) => {
      const [killed, twin] = [scratch.make(), scratch.make()];
      for (const one of [killed, twin]) await fill(one);
      const { db, uri } = killed;
      const cwd = await makeMigration(up);
      const before = await hashOf(db, 'people');
      expect((await runJson(['run', 'm1'], { cwd, uri: twin.uri })).json).toMatchObject({ state: 'completed' });

      const random = randomFrom(SEED + what.length);
      const forwards = ['run', 'm1', '--batch-size', '50'];
      const kills: Kill[] = [];
      for (let at = 0; at < KILLS; at += 1)
        kills.push(await killAfter(forwards, { cwd, uri }, db, 1 + Math.floor(random() * 500), random() * 20));
      const last = await runJson(forwards, { cwd, uri });
      expect(last.json).toMatchObject({ state: 'completed', changed: COUNT, resumed: true });
      expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
      expect(await hashOf(db, 'people')).toBe(await hashOf(twin.db, 'people'));
      expect(await auditEntries(db)).toEqual(await auditEntries(twin.db));

      const backwards = ['rollback', 'm1'];
      for (let at = 0; at < KILLS_ON_THE_WAY_BACK; at += 1)
        kills.push(await killAfter(backwards, { cwd, uri }, db, 1 + Math.floor(random() * 900), random() * 20, 'down'));
      expect(kills.map(({ wasKilled }) => wasKilled)).toEqual(kills.map(() => true));
      const back = await runJson(backwards, { cwd, uri });
      expect(back.json).toMatchObject({ state: 'rolled-back', restored: COUNT, identical: true });
      expect(await audited(db, 'down')).toBe(COUNT);
      expect(await brokenHistory(db)).toEqual([]);
      expect(await hashOf(db, 'people')).toBe(before);
    },
  );
});
