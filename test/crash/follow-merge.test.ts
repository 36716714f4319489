/** An old version of the application writes clients for a while after they became contacts: each write follows. */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Db, Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { loadLegacy } from '../../examples/crm/load.js';
import { callCommand, runJson } from '../support/command.js';
import { until } from '../support/crash.js';
import { useScratch } from '../support/scratch.js';

const CRM = fileURLToPath(new URL('../../examples/crm', import.meta.url));
const ID = '20261126T0900-unify-contacts';
/** By hand for thirty: GODWIT_TEST_FOLLOW_MS=30000. */
const WRITES_MS = Number(process.env['GODWIT_TEST_FOLLOW_MS'] ?? 2_000);
const EVERY_MS = 40;

/** When each company was seen in a contact, by its name. */
function watchContacts(db: Db): { readonly seen: Map<string, number>; close(): Promise<void> } {
  const seen = new Map<string, number>();
  const stream = db.collection('contacts').watch([], { fullDocument: 'updateLookup' });
  stream.on('change', (event) => {
    const company = 'fullDocument' in event ? (event.fullDocument as Document | null)?.['company'] : undefined;
    if (typeof company === 'string' && !seen.has(company)) seen.set(company, performance.now());
  });
  return { seen, close: () => stream.close() };
}

describe('a merge that follows', () => {
  const scratch = useScratch('follow', () => inject('mongoUri'));

  test('brings every write of an old version into the contacts, to the last one', {
    tags: ['F48', 'P2', 'P7'],
    timeout: 300_000,
  }, async () => {
    const { db, uri } = scratch.make();
    await loadLegacy(db, { people: 600 });
    const clients = db.collection<{ _id: number; firm?: string; mail?: string }>('clients');
    const ids = (await clients.find({}, { projection: { _id: 1 } }).toArray()).map(({ _id }) => _id);
    const { end, signal } = callCommand(['run', ID, '--follow', '--json', '--progress', 'none'], { cwd: CRM, uri });
    const isFollowing = { state: 'catching-up' };
    await until(async () => (await db.collection('migrations').countDocuments(isFollowing)) > 0, 120_000);

    const watched = watchContacts(db);
    const sent = new Map<string, number>();
    for (const startedAt = performance.now(); performance.now() < startedAt + WRITES_MS; await sleep(EVERY_MS)) {
      const n = sent.size;
      const firm = `Firm ${n}`;
      if (n % 10 === 9) await clients.insertOne({ _id: 500_000 + n, mail: `New${n}@Old.test`, firm });
      else await clients.updateOne({ _id: ids[n % ids.length] ?? 0 }, { $set: { firm } });
      sent.set(firm, performance.now());
    }
    await until(() => watched.seen.size >= sent.size, 30_000);
    await watched.close();
    signal('SIGTERM');
    expect((await end).code).toBe(7);

    const lags = [...sent].map(([firm, at]) => (watched.seen.get(firm) ?? Number.POSITIVE_INFINITY) - at);
    const sorted = lags.sort((a, b) => a - b);
    const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
    console.log(
      `${sent.size} writes in ${WRITES_MS} ms followed; lag p50 ${at(0.5)} ms, p99 ${at(0.99)}, longest ${at(1)}`,
    );
    // What each client says at last is what its contact says.
    const companies = new Set(await db.collection('contacts').distinct('company'));
    const firms = (await clients.distinct('firm')).filter((firm) => firm?.startsWith('Firm '));
    expect(firms.filter((firm) => !companies.has(firm))).toEqual([]);
    expect((await runJson(['run', ID], { cwd: CRM, uri })).json).toMatchObject({ state: 'completed' });
    expect((await runJson(['verify', ID], { cwd: CRM, uri })).json).toMatchObject({ ok: true });
  });
});
