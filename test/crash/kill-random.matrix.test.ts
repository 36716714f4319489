import { fileURLToPath } from 'node:url';
import { describe, expect, inject, test } from 'vitest';
import { loadCustomers } from '../../examples/crm/load.js';
import { runJson } from '../support/command.js';
import { audited, brokenInvariants, type Kill, killAfter, randomFrom } from '../support/crash.js';
import { auditEntries, brokenHistory, brokenSums } from '../support/observe.js';
import { hashOf, useScratch } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';

const CRM = fileURLToPath(new URL('../../examples/crm', import.meta.url));
const ID = '20261123T0900-normalise-customers';
const SEED = Number(process.env['GODWIT_TEST_SEED'] ?? 20_261_124);

interface Case {
  readonly documents: number;
  readonly kills: number;
  /** At least so many of them between the first and the last commit of the run. */
  readonly midway: number;
}

const CASES: readonly Case[] = [
  { documents: 1_500, kills: 3, midway: 1 },
  { documents: 10_000, kills: 20, midway: 15 },
];

/** Far above what a takeover costs, and below the lease of 15 s: nobody waits for that of a dead process. */
const LONGEST_START_MS = 12_000;

const idOf = (entry: string): string => entry.slice(0, entry.lastIndexOf(':'));

describe('a run that is killed at random moments', () => {
  const scratch = useScratch('kills', () => inject('mongoUri'));

  test.each(matrix(CASES))(
    'ends as if never killed ($kills times, $documents documents): the same documents, one audit entry for each changed one, and a way back',
    {
      timeout: 600_000,
      tags: ['F07', 'P3', 'P5', 'P6'],
    },
    async ({ documents, kills: count, midway }) => {
      const { db, uri } = scratch.make();
      const twin = scratch.make();
      await loadCustomers(db, { count: documents, seed: 7, broken: 0 });
      await db
        .collection('customers')
        .aggregate([{ $out: { db: twin.name, coll: 'customers' } }])
        .toArray();
      const before = await hashOf(db, 'customers');
      expect(await hashOf(twin.db, 'customers')).toBe(before);
      const undisturbed = await runJson(['run', ID], { cwd: CRM, uri: twin.uri });
      expect(undisturbed.json['state']).toBe('completed');
      const total = Number(undisturbed.json['changed']);

      const random = randomFrom(SEED);
      const args = ['run', ID, '--batch-size', '100'];
      const kills: Kill[] = [];
      for (let at = 0, done = 0; at < count; at += 1) {
        // The first one dies about when it commits first; each of the others leaves enough for those that come.
        const isFirst = at === 0;
        const more = isFirst ? 0 : 1 + Math.floor((random() * (total - done)) / (count - at + 1));
        const kill = await killAfter(args, { cwd: CRM, uri }, db, more, random() * (isFirst ? 700 : 40));
        kills.push(kill);
        done = kill.done;
        expect(kill.wasKilled).toBe(true);
        expect(await brokenInvariants(db)).toEqual([]);
      }
      const last = await runJson(args, { cwd: CRM, uri });

      const starts = kills.flatMap(({ firstCommitMs }) => firstCommitMs ?? []);
      const slowest = Math.max(...starts);
      const middle = starts.sort((a, b) => a - b)[Math.floor(starts.length / 2)] ?? 0;
      console.log(
        `seed ${SEED}: documents done at each kill: ${kills.map(({ done }) => done).join(' ')} of ${total}; ` +
          `restart to first commit: median ${Math.round(middle)} ms, slowest ${Math.round(slowest)} ms`,
      );
      expect(kills.filter(({ done }) => done > 0 && done < total).length).toBeGreaterThanOrEqual(midway);
      expect(slowest).toBeLessThan(LONGEST_START_MS);

      expect([last.code, last.json]).toMatchObject([0, { state: 'completed', changed: total, scanned: total }]);
      expect(await hashOf(db, 'customers')).toBe(await hashOf(twin.db, 'customers'));
      expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
      const entries = await auditEntries(db);
      expect([await audited(db), entries.length, new Set(entries.map(idOf)).size]).toEqual([total, total, total]);
      expect(entries).toEqual(await auditEntries(twin.db));
      expect((await runJson(['run', ID, '--dry-run'], { cwd: CRM, uri })).json['wouldChange']).toBe(0);

      const back = await runJson(['rollback', ID], { cwd: CRM, uri });
      expect(back.json).toMatchObject({ restored: total, identical: true });
      expect(await hashOf(db, 'customers')).toBe(before);
    },
  );
});
