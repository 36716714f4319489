import { describe, expect, inject, test } from 'vitest';
import { until } from '../support/crash.js';
import { finished, startCommand } from '../support/process.js';
import { makeProject } from '../support/project.js';
import { useScratch } from '../support/scratch.js';

describe('a demo', () => {
  const scratch = useScratch('demo', () => inject('mongoUri'));

  test('that is stopped says so, and nothing of it stays', async () => {
    const { db, uri } = scratch.make();
    const child = startCommand(['demo', '--docs', '200', '--json'], { cwd: await makeProject({}), uri });
    child.stderr?.on('data', (part: Buffer) => {
      if (part.toString().includes('Canary')) child.kill('SIGTERM');
    });
    const { code, stdout } = await finished(child);
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
    expect([code, error.code, error.message]).toEqual([
      7,
      'GODWIT_STOPPED',
      'the demo was stopped before its end; what it made is removed',
    ]);
    // Another test file may be showing the demo at the same server: its database goes as well.
    await until(async () => {
      const { databases } = await db.admin().listDatabases({ nameOnly: true });
      return !databases.some(({ name }) => name.startsWith('godwit_demo_'));
    }, 100_000);
  });
});
