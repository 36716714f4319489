/** A script whose runner is killed is run once more, from its beginning. */
import { expect, test } from 'vitest';
import { runJson } from '../support/command.js';
import { brokenInvariants } from '../support/crash.js';
import { runProcess } from '../support/process.js';
import { matrix } from '../support/tiers.js';
import { type Doc, useScripted } from './scripted.js';

const place = useScripted('script_killed');

test.each(matrix([5, 1, 9]))(
  'a script that is killed after batch %i begins anew, and goes back to the same bytes',
  {
    tags: ['P3'],
  },
  async (hit) => {
    const { db, at, hashes } = await place();
    const before = await hashes();
    const run = ['run', 'm1', '--batch-size', '9', '--progress', 'none'];
    const env = { GODWIT_TEST: '1', GODWIT_FAULT: `batch:after-commit:${hit}:kill` };
    expect((await runProcess(run, { ...at, env })).signal).toBe('SIGKILL');
    expect((await runJson(run, at)).json).toMatchObject({ state: 'completed', failed: 0 });
    expect(await db.collection<Doc>('people').countDocuments({ teamId: { $in: [0, 1] }, name: /^P\d+$/ })).toBe(40);
    expect(await brokenInvariants(db)).toEqual([]);
    const killed = { GODWIT_TEST: '1', GODWIT_FAULT: 'rollback:after-data:3:kill' };
    expect((await runProcess(['rollback', 'm1'], { ...at, env: killed })).signal).toBe('SIGKILL');
    expect((await runJson(['rollback', 'm1'], at)).json).toMatchObject({ identical: true });
    expect(await hashes()).toEqual(before);
  },
);
