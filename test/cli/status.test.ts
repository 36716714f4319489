import { afterAll, describe, expect, inject, test } from 'vitest';
import type { ChunkView } from '../../src/verbs/chunks.js';
import { callCommand, runCommand, runJson } from '../support/command.js';
import { audited, until } from '../support/crash.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

interface Row {
  readonly state: string;
  readonly scanned: number;
  readonly throttled: readonly unknown[];
  readonly stalled: unknown;
  readonly chunks: readonly ChunkView[] | null;
  readonly bottleneck: string | null;
  readonly phases: { readonly throttle: { readonly p50: number } } | null;
}

afterAll(killLeftovers);

describe('status', () => {
  const scratch = useScratch('status', () => inject('mongoUri'));

  async function place(count: number) {
    const { db, uri } = scratch.make();
    await db.collection('people').insertMany(Array.from({ length: count }, (_, n) => ({ n, mail: `A${n}@X.example` })));
    return {
      db,
      uri,
      cwd: await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase() })'),
    };
  }

  async function rowOf(at: { readonly uri: string; readonly cwd: string }, verb = 'status m1'): Promise<Row> {
    const { json } = await runJson(verb.split(' '), at);
    const [row] = json['migrations'] as Row[];
    if (!row) throw new Error('wanted a migration, found none');
    return row;
  }

  const statesOf = ({ chunks }: Row): string[] => [...new Set(chunks?.map(({ state }) => state))].sort();

  test('of one migration tells how far each chunk is, forwards and back', async () => {
    const at = await place(1_000);
    const call = callCommand(['run', 'm1', '--workers', '4', '--batch-size', '25', '--max-rate', '200'], at);
    await until(async () => (await audited(at.db)) > 100);
    call.signal('SIGTERM');
    expect((await call.end).code).toBe(7);
    const begun = await rowOf(at);
    expect(begun.chunks).toHaveLength(4);
    expect(statesOf(begun)).toContain('begun');
    expect(begun.chunks?.reduce((sum, { scanned }) => sum + scanned, 0)).toBe(begun.scanned);
    expect(begun.chunks?.find(({ state }) => state === 'begun')).toMatchObject({
      collection: 'people',
      cursor: expect.anything(),
    });
    expect((await runCommand(['status', 'm1'], at)).stdout).toMatch(
      /chunks {8}0 of 4 done, \d begun\n {16}people \d: \d+ % of about [\d,]+ documents, \d+ batches/,
    );

    await runCommand(['run', 'm1'], at);
    expect(statesOf(await rowOf(at))).toEqual(['done']);
    expect((await runCommand(['status', 'm1'], at)).stdout).toMatch(/chunks {8}4 of 4 done\n/);

    await runCommand(['rollback', 'm1'], at);
    expect(statesOf(await rowOf(at))).toEqual(['undone']);
    expect((await runCommand(['status', 'm1'], at)).stdout).toMatch(/chunks {8}4 of 4 taken back\n/);
    expect((await rowOf(at, 'list')).chunks).toBeNull();
  });

  test('does not tell what a runner waited for that is dead, nor does the next one', async () => {
    const at = await place(200);
    const child = startCommand(['run', 'm1', '--batch-size', '50', '--workers', '1', '--max-rate', '20'], at);
    const end = finished(child);
    const runs = at.db.collection<{ readonly throttled: readonly unknown[] }>('migrations');
    await until(async () => ((await runs.findOne())?.throttled.length ?? 0) > 0);
    expect((await rowOf(at)).throttled).toMatchObject([{ reason: 'max rate', limit: 20 }]);
    child.kill('SIGKILL');
    await end;
    // Had it stood still, it would have left that as well.
    await runs.updateOne({}, { $set: { stalled: { since: new Date(), because: 'a test' } } });
    expect(await rowOf(at)).toMatchObject({ state: 'interrupted', throttled: [], stalled: null });
    expect((await runCommand(['run', 'm1'], at)).code).toBe(0);
    expect(await runs.findOne()).toMatchObject({ state: 'completed', throttled: [], stalled: null });
  });

  test('says that a run is limited by what it waits for, where that takes most of the time', async () => {
    // 22 batches, each 125 ms after the one before.
    const at = await place(220);
    const { code } = await runCommand(['run', 'm1', '--batch-size', '10', '--workers', '1', '--max-rate', '80'], at);
    expect(code).toBe(0);
    const { bottleneck, phases } = await rowOf(at);
    expect(bottleneck).toMatch(/^limited by what it waits for before a batch \(a rate, a signal, a pause\): \d+ % of/);
    expect(phases?.throttle.p50).toBeGreaterThan(100);
  });
});
