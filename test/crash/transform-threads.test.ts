/** A transform that is measured slow runs in threads, and does there what it does in the runner's own. */
import type { Db, Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { runJson } from '../support/command.js';
import { brokenInvariants } from '../support/crash.js';
import { auditEntries, brokenHistory } from '../support/observe.js';
import { runProcess, runProcessJson } from '../support/process.js';
import { hashOf } from '../support/scratch.js';
import { COUNT, RUN, SPIN, UP, useHeavy } from './transform-threads.js';

/** Enough for threads: they come after some 500. */
const FEW = 800;

describe('a heavy transform', () => {
  const place = useHeavy();

  test('gives the same in threads as without: documents, audit, failures, way back', { tags: ['P11'] }, async () => {
    const [threaded, alone] = [await place(UP, FEW), await place(UP, FEW)];
    const before = await hashOf(alone.db, 'people');
    const [there, here] = await Promise.all([
      runProcess([...RUN, '--workers', '3'], threaded),
      runProcess([...RUN, '--workers', '1'], alone),
    ]);
    expect([there.code, there.stderr]).toEqual([
      4,
      expect.stringMatching(/up\(\) takes \d+ ms of a batch: it runs in \d/),
    ]);
    expect([here.code, here.stderr]).toEqual([4, expect.not.stringContaining('threads')]);
    expect(there.stderr).toContain('a message');
    const { scanned, changed, skipped, unchanged, failed } = JSON.parse(there.stdout);
    expect({ scanned, changed, skipped, unchanged, failed }).toMatchObject({
      scanned: FEW,
      failed: 2 * (FEW / 100),
      skipped: FEW / 100,
    });
    expect(JSON.parse(here.stdout)).toMatchObject({ scanned, changed, skipped, unchanged, failed });
    expect(await hashOf(threaded.db, 'people')).toBe(await hashOf(alone.db, 'people'));
    const sorted = async ({ db }: { db: Db }) => (await auditEntries(db)).toSorted();
    expect(await sorted(threaded)).toEqual(await sorted(alone));
    const failures = ({ db }: { db: Db }) =>
      db
        .collection('migrations_failures')
        .find({}, { projection: { _id: 0, code: 1, message: 1, at: 1 } })
        .sort({ documentId: 1 });
    const named = ({ at, ...rest }: Document) => ({ ...rest, at: String(at).replace(/^.*m1/, 'm1') });
    expect((await failures(threaded).toArray()).map(named)).toEqual((await failures(alone).toArray()).map(named));
    expect(JSON.stringify(await failures(threaded).toArray())).not.toContain('Secret');
    expect([...(await brokenInvariants(threaded.db)), ...(await brokenHistory(threaded.db))]).toEqual([]);
    expect((await runJson(['rollback', 'm1'], threaded)).json).toMatchObject({ identical: true });
    expect(await hashOf(threaded.db, 'people')).toBe(before);
  });

  test('that never returns is found out in a thread, too', { tags: ['F13'] }, async () => {
    const hang = `(doc) => { ${SPIN} while (doc._id === 900); return { ...doc, mark: 1 }; }`;
    const at = await place(hang);
    const env = { GODWIT_TRANSFORM_TIMEOUT_MS: '1000' };
    const { code, json } = await runProcessJson([...RUN.slice(0, -1), '--workers', '3'], { ...at, env });
    expect([code, json]).toMatchObject([4, { state: 'completed', failed: 1, changed: COUNT - 1 }]);
    const [failure] = await at.db.collection('migrations_failures').find().toArray();
    expect(failure).toMatchObject({ code: 'GODWIT_TRANSFORM_TIMEOUT', documentId: 900 });
  });
});
