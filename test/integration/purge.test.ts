import { describe, expect, test } from 'vitest';
import { purge } from '../../src/verbs/purge.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession, type Session } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { runCommand, runJson } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

const UP = "(doc) => (doc.mark === undefined ? { ...doc, mark: 'x' } : doc)";
const DAY = 86_400_000;

describe('audit purge', () => {
  const { db, uri } = useDatabase('purge');
  const audits = (): Promise<number> => db.collection('migrations_audit').countDocuments();

  async function withProject(work: (session: Session, cwd: string) => Promise<void>): Promise<void> {
    await db.collection<{ _id: number }>('people').insertMany(Array.from({ length: 50 }, (_, _id) => ({ _id })));
    const cwd = await makeMigration(UP);
    const session = await openSession({ cwd, uri });
    try {
      await work(session, cwd);
    } finally {
      await closeSession(session);
    }
  }

  const age = (days: number): Promise<unknown> =>
    db.collection('migrations').updateMany({}, { $set: { updatedAt: new Date(Date.now() - days * DAY) } });

  test('takes nothing that a rollback may need: not of completed, stopped or rolled-back current runs, however old', async () => {
    await withProject(async (session) => {
      await startRun(session, 'm1', { limit: 10 }).result;
      await age(1_000);
      expect(await purge(session)).toMatchObject({ purged: [], kept: 1 });
      await startRun(session, 'm1').result;
      await age(1_000);
      expect(await purge(session)).toMatchObject({ purged: [], kept: 1 });
      await startRollback(session, 'm1').result;
      await age(1_000);
      expect(await purge(session)).toMatchObject({ purged: [], kept: 1 });
      expect((await startRollback(session, 'm1', { onConflict: 'force' }).result).identical).toBe(true);
    });
  });

  test('takes the images of a run that another one has followed, once its retention is over', async () => {
    await withProject(async (session) => {
      await startRun(session, 'm1').result;
      await startRollback(session, 'm1').result;
      await startRun(session, 'm1').result;
      const before = await audits();
      expect((await purge(session)).purged).toEqual([]);
      await age(91);
      expect((await purge(session, { dryRun: true })).purged).toHaveLength(1);
      expect(await audits()).toBe(before);
      expect((await purge(session)).purged).toMatchObject([{ state: 'rolled-back', entries: 50 }]);
      expect(await audits()).toBeLessThan(before);
      expect((await verify(session, 'm1')).ok).toBe(true);
      expect(await startRollback(session, 'm1').result).toMatchObject({ restored: 50, identical: true });
    });
  });

  test('of a migration by name gives its way back up, with a reason: nothing claims one afterwards', async () => {
    await withProject(async (session, cwd) => {
      await startRun(session, 'm1').result;
      expect((await runJson(['audit', 'purge', 'm1'], { cwd, uri })).code).toBe(2);
      expect(await audits()).toBeGreaterThan(0);
      const because = 'deleted by request of the customers';
      const { code, json } = await runJson(['audit', 'purge', 'm1', '--because', because], { cwd, uri });
      expect([code, json['purged']]).toMatchObject([0, [{ migration: 'm1', entries: 50 }]]);
      expect(await audits()).toBe(0);
      for (const args of [
        ['rollback', 'm1'],
        ['rollback', 'm1', '--dry-run'],
        ['audit', 'm1'],
      ]) {
        const refused = await runJson(args, { cwd, uri });
        expect([refused.code, refused.json['error']]).toMatchObject([2, { code: 'GODWIT_PURGED' }]);
      }
      const { stdout } = await runCommand(['verify', 'm1'], { cwd, uri });
      expect(stdout).toContain(because);
      expect(stdout).not.toContain('way back stays open');
      expect((await runCommand(['status', 'm1'], { cwd, uri })).stdout).toContain('purged');
      expect((await runJson(['run', 'm1'], { cwd, uri })).code).toBe(0);
    });
  });

  test('that was interrupted is finished by the next one', async () => {
    await withProject(async (session) => {
      await startRun(session, 'm1').result;
      const purged = { by: 'ann@host', because: 'asked for', at: new Date() };
      await session.state.runs.updateOne({ current: true }, { $set: { purged } });
      expect((await purge(session, { id: 'm1', because: 'asked for' })).purged).toHaveLength(1);
      expect(await audits()).toBe(0);
      expect(await purge(session, { id: 'm1', because: 'asked for' })).toMatchObject({ purged: [], kept: 0 });
    });
  });

  test('refuses a run that still needs its audit to go on', async () => {
    await withProject(async (session) => {
      await startRun(session, 'm1', { limit: 10 }).result;
      await expect(purge(session, { id: 'm1', because: 'x' })).rejects.toMatchObject({ code: 'GODWIT_USAGE' });
      expect(await audits()).toBeGreaterThan(0);
    });
  });
});
