import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadCustomers } from '../../examples/crm/load.js';
import type { AuditDocument } from '../../src/domain/audit-entry.js';
import { decodeEntries, joinImages } from '../../src/domain/audit-entry.js';
import { runJson } from '../support/command.js';
import { brokenInvariants, killAfter, randomFrom } from '../support/crash.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

const CRM = fileURLToPath(new URL('../../examples/crm', import.meta.url));
const ID = '20261123T0900-normalise-customers';
const SEED = Number(process.env['GODWIT_TEST_SEED'] ?? 20_261_124);

describe('a run that is killed at random moments', () => {
  const { db, uri } = useDatabase('kills');

  test('ends as if never killed: the same documents, one audit entry for each changed one, and a way back', {
    timeout: 240_000,
  }, async () => {
    const random = randomFrom(SEED);
    await loadCustomers(db, { count: 20_000, seed: 7, broken: 0 });
    const before = await dataHash(db);
    const undisturbed = await runJson(['run', ID], { cwd: CRM, uri });
    expect(undisturbed.json['state']).toBe('completed');
    const expected = await dataHash(db);
    expect((await runJson(['rollback', ID], { cwd: CRM, uri })).json['identical']).toBe(true);
    for (const name of ['migrations', 'migrations_chunks', 'migrations_audit', 'migrations_touched'])
      await db.collection(name).deleteMany({});

    const args = ['run', ID, '--batch-size', '100'];
    const total = Number(undisturbed.json['changed']);
    const kills: number[] = [];
    let slowest = 0;
    for (let kill = 0; kill < 20; kill += 1) {
      // The first one dies before any commit; the others leave enough for those that come.
      const more = kill === 0 ? 0 : 1 + Math.floor(random() * (total / 24));
      const { done, firstCommitMs } = await killAfter(args, { cwd: CRM, uri }, db, more, random() * 40);
      kills.push(done);
      slowest = Math.max(slowest, firstCommitMs ?? 0);
      expect(await brokenInvariants(db)).toEqual([]);
    }
    const between = kills.filter((done) => done > 0 && done < total).length;
    console.log(
      `seed ${SEED}: documents done at each kill: ${kills.join(' ')} of ${total}; slowest restart to first commit ${Math.round(slowest)} ms`,
    );
    expect(between).toBeGreaterThanOrEqual(15);

    const last = await runJson(args, { cwd: CRM, uri });
    expect([last.code, last.json['state'], last.json['changed'], last.json['scanned']]).toEqual([
      0,
      'completed',
      total,
      total,
    ]);
    expect(await dataHash(db)).toEqual(expected);
    expect(await brokenInvariants(db)).toEqual([]);
    const ids = new Set<string>();
    let entries = 0;
    for await (const document of db.collection<AuditDocument>('migrations_audit').find({ direction: 'up' })) {
      if (document.n === 0) continue;
      for (const { before: image } of decodeEntries(joinImages([document]))) {
        ids.add(image.key);
        entries += 1;
      }
    }
    expect([entries, ids.size]).toEqual([total, total]);
    expect((await runJson(['run', ID, '--dry-run'], { cwd: CRM, uri })).json['wouldChange']).toBe(0);
    expect((await runJson(['rollback', ID], { cwd: CRM, uri })).json).toMatchObject({
      restored: total,
      identical: true,
    });
    expect(await dataHash(db)).toEqual(before);
  });

  test.each([
    ['only adds', '(doc) => ({ ...doc, seen: true })'],
    ['unsets', '({ fax, ...doc }) => doc'],
    ['renames', '({ fullName, ...doc }) => (fullName === undefined ? doc : { ...doc, name: fullName })'],
    [
      'adds fields out of alphabetical order',
      "(doc) => ({ ...doc, zeta: 1, alpha: doc.n ?? 0, mid: { z: 1, a: 'x' } })",
    ],
  ])('comes back hash-identical when its transform %s', { timeout: 120_000 }, async (_what, up) => {
    const random = randomFrom(SEED + up.length);
    await db.collection<{ _id: number }>('people').insertMany(
      Array.from({ length: 3_000 }, (_, _id) => ({
        _id,
        fullName: `P ${_id}`,
        fax: `9${_id}`,
        n: _id,
        tail: { deep: [1, { two: 2 }] },
      })),
    );
    const before = await dataHash(db);
    const cwd = await makeMigration(up);
    const args = ['run', 'm1', '--batch-size', '50'];
    for (let kill = 0; kill < 4; kill += 1)
      await killAfter(args, { cwd, uri }, db, 1 + Math.floor(random() * 600), random() * 30);
    const last = await runJson(args, { cwd, uri });
    expect(last.json).toMatchObject({ state: 'completed', changed: 3_000 });
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await dataHash(db)).not.toEqual(before);
    const back = await runJson(['rollback', 'm1'], { cwd, uri });
    expect(back.json).toMatchObject({ restored: 3_000, identical: true });
    expect(await dataHash(db)).toEqual(before);
  });
});
