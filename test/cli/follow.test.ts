import { describe, expect, test } from 'vitest';
import { callCommand, runJson } from '../support/command.js';
import { until } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';

describe('a run that follows', () => {
  const { db, uri } = useDatabase('follow');
  const people = db.collection<{ _id: number; mail: string; v?: number }>('people');

  test('brings every write of an old application into the new shape, until it is stopped; the next run completes it', async () => {
    await people.insertMany(Array.from({ length: 500 }, (_, _id) => ({ _id, mail: `P${_id}@X.test` })));
    const cwd = await makeMigration('(doc) => ({ ...doc, mail: doc.mail.toLowerCase(), v: 2 })');
    const call = callCommand(['run', 'm1', '--follow', '--json', '--progress', 'ndjson'], { cwd, uri });
    await until(async () => (await people.countDocuments({ v: 2 })) === 500);

    for (let n = 0; n < 100; n += 1) {
      await people.insertOne({ _id: 1_000 + n, mail: `NEW${n}@X.test` });
      await people.replaceOne({ _id: n }, { mail: `SAVED${n}@X.test` });
    }
    await until(async () => (await people.countDocuments({ v: 2 })) === 600);
    expect(await people.countDocuments({ mail: /[A-Z]/ })).toBe(0);

    // A look or two at nothing, so that the lag is told.
    await until(() => call.stderr().includes('"run:follow"'));
    call.signal('SIGTERM');
    const { code, stdout, stderr } = await call.end;
    expect([code, (JSON.parse(stdout) as { state: string }).state]).toEqual([7, 'stopped']);
    const lags = stderr
      .split('\n')
      .flatMap((line) => (line.includes('"run:follow"') ? [(JSON.parse(line) as { lagMs: number }).lagMs] : []));
    expect(lags.length).toBeGreaterThan(0);

    const last = await runJson(['run', 'm1'], { cwd, uri });
    expect([last.code, last.json['state']]).toEqual([0, 'completed']);
    const back = await runJson(['rollback', 'm1'], { cwd, uri });
    expect(await people.countDocuments({ v: 2 })).toBe(0);
    expect(back.json['goneSince']).toBe(0);
  });
});
