/** A transform that is measured slow runs in threads, and does there what it does in the runner's own. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Document } from 'mongodb';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { runCommand, runJson } from '../support/command.js';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { auditEntries, brokenHistory, currentRun, openTransactions } from '../support/observe.js';
import { finished, killLeftovers, startCommand } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

afterAll(killLeftovers);

const COUNT = 1_200;
/** Two milliseconds for each document: threads come after some 500. */
const SPIN = 'const end = performance.now() + 2; while (performance.now() < end);';
/** Of every kind of end: changed in several ways, skipped, rejected, thrown, given back as it was. */
const UP = `(doc, { lookup, skip, reject, keep }) => {
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
const RUN = ['run', 'm1', '--batch-size', '100', '--max-failures', '1000', '--progress', 'plain', '--json'];

describe('a heavy transform', () => {
  const scratch = useScratch('threads', () => inject('mongoUri'));

  async function place(up = UP) {
    const { db, uri } = scratch.make();
    await db.collection<{ _id: number }>('teams').insertMany([{ _id: 1, name: 'one' } as never, { _id: 2 } as never]);
    const { Decimal128, Double, Long } = await import('mongodb');
    await db.collection<{ _id: number }>('people').insertMany(
      Array.from({ length: COUNT }, (_, _id) => ({
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
    return { db, uri, cwd: await makeMigration(up, LOOKUP) };
  }

  test('gives the same in threads as without: documents, audit, failures, way back', async () => {
    const [threaded, alone] = [await place(), await place()];
    const before = await hashOf(alone.db, 'people');
    const there = await runCommand([...RUN, '--workers', '3'], threaded);
    expect([there.code, there.stderr]).toEqual([
      4,
      expect.stringMatching(/up\(\) takes \d+ ms of a batch: it runs in \d/),
    ]);
    const here = await runCommand([...RUN, '--workers', '1'], alone);
    expect([here.code, here.stderr]).toEqual([4, expect.not.stringContaining('threads')]);
    expect(there.stderr).toContain('a message');
    const { scanned, changed, skipped, unchanged, failed } = JSON.parse(there.stdout);
    expect({ scanned, changed, skipped, unchanged, failed }).toMatchObject({ scanned: COUNT, failed: 24, skipped: 12 });
    expect(JSON.parse(here.stdout)).toMatchObject({ scanned, changed, skipped, unchanged, failed });
    expect(await hashOf(threaded.db, 'people')).toBe(await hashOf(alone.db, 'people'));
    const sorted = async ({ db }: { db: typeof alone.db }) => (await auditEntries(db)).toSorted();
    expect(await sorted(threaded)).toEqual(await sorted(alone));
    const failures = ({ db }: { db: typeof alone.db }) =>
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

  test('is killed, and ended by Ctrl-C, like any other', async () => {
    const at = await place();
    const args = [...RUN, '--workers', '3'];
    const killed = startCommand(args, at);
    const end = finished(killed);
    await until(async () => (await audited(at.db)) > 600);
    killed.kill('SIGKILL');
    await end;
    const again = startCommand(args, at);
    const stopped = finished(again);
    await until(async () => (await currentRun(at.db)).state === 'running' && (await audited(at.db)) > 800);
    again.kill('SIGINT');
    expect((await stopped).code).toBe(130);
    expect(await openTransactions(at.db)).toBe(0);
    expect((await runJson(['run', 'm1', ...RUN.slice(2, -1)], at)).json).toMatchObject({
      state: 'completed',
      scanned: COUNT,
    });
    expect([...(await brokenInvariants(at.db)), ...(await brokenHistory(at.db))]).toEqual([]);
  });

  test('whose file is changed meanwhile runs on as it was loaded', async () => {
    const at = await place(`(doc) => { ${SPIN} return { ...doc, mark: 'as it was' }; }`);
    const child = startCommand([...RUN, '--workers', '3', '--max-rate', '300'], at);
    const end = finished(child);
    // Planned, it has loaded the file; threads come five slow batches later.
    await until(async () => (await at.db.collection('migrations').countDocuments()) === 1);
    const file = join(at.cwd, 'scripts/migrations/m1.mjs');
    await writeFile(file, (await readFile(file, 'utf8')).replace('as it was', 'another'));
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/a thread failed \(wanted m1 as the runner has loaded it/),
    ]);
    expect(await at.db.collection('people').countDocuments({ mark: 'as it was' })).toBe(COUNT);
  });

  test('that never returns is found out in a thread, too', async () => {
    const hang = `(doc) => { ${SPIN} while (doc._id === 900); return { ...doc, mark: 1 }; }`;
    const at = await place(hang);
    const env = { GODWIT_TRANSFORM_TIMEOUT_MS: '1000' };
    const { code, json } = await runJson([...RUN.slice(0, -1), '--workers', '3'], { ...at, env });
    expect([code, json]).toMatchObject([4, { state: 'completed', failed: 1, changed: COUNT - 1 }]);
    const [failure] = await at.db.collection('migrations_failures').find().toArray();
    expect(failure).toMatchObject({ code: 'GODWIT_TRANSFORM_TIMEOUT', documentId: 900 });
  });
});
