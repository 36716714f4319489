/** A heavy transform in threads: its process is killed, interrupted, and its file changed. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { audited, brokenInvariants, until } from '../support/crash.js';
import { brokenHistory, currentRun, openTransactions } from '../support/observe.js';
import { finished, killLeftovers, runProcessJson, startCommand } from '../support/process.js';
import { COUNT, RUN, SPIN, useHeavy } from './transform-threads.js';

describe('a heavy transform', () => {
  const place = useHeavy();
  afterAll(killLeftovers);

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
    expect((await runProcessJson(['run', 'm1', ...RUN.slice(2, -1)], at)).json).toMatchObject({
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
});
