/** What a command says of a run agrees with itself, and advises what helps. */
import { describe, expect, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';

const file = (up: string, more = ''): string => `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'a test', ${more} steps: [transform({ collection: 'people', up: ${up} })] });
`;

describe('what is said', () => {
  const { db, uri } = useDatabase('figures');
  const place = async (up: string, more = '') => {
    await db.collection<{ _id: number }>('people').insertMany([{ _id: 1 }, { _id: 2 }, { _id: 3 }]);
    return { uri, cwd: await makeProject({ 'scripts/migrations/m1.mjs': file(up, more) }) };
  };
  const RUN = ['run', 'm1', '--progress', 'none'];

  test('of a run that was completed before is that there is nothing to do', async () => {
    const at = await place("(doc, { skip }) => (doc._id === 3 || doc.mark ? skip('fine') : { ...doc, mark: 1 })");
    const first = await runCommand(RUN, at);
    expect(first.stdout).toContain('COMPLETED: 2 documents changed of 3 read');
    expect(first.stdout).toContain('unchanged 1 (1 by skip())');
    const again = await runCommand(RUN, at);
    expect(again.code).toBe(0);
    expect(again.stdout).toContain('NOTHING TO DO: it was completed before; 2 documents were changed then.');
    expect(again.stdout).not.toContain('resumed where it was');
  });

  test('where every document fails is not that more failures should be allowed', async () => {
    const at = await place("() => { throw new Error('no'); }");
    const dry = await runCommand(['run', 'm1', '--dry-run', '--progress', 'none'], at);
    expect(dry.stdout).toContain('3 would FAIL');
    expect(dry.stdout).not.toContain('--max-failures');
    const run = await runCommand(RUN, at);
    expect(run.code).toBe(1);
    expect(run.stdout + run.stderr).not.toContain('--max-failures');
  });

  test('where some fail is that they may be allowed', async () => {
    const at = await place("(doc) => { if (doc._id === 2) throw new Error('no'); return { ...doc, mark: 1 }; }");
    expect((await runCommand(['run', 'm1', '--dry-run', '--progress', 'none'], at)).stdout).toContain(
      '--max-failures 1',
    );
  });

  test("by a verify() that does not hold are its author's own words", async () => {
    const at = await place(
      '(doc) => ({ ...doc, mark: 1 })',
      "verify() { throw new Error('two teams have no lead'); },",
    );
    await runCommand(RUN, at);
    const verified = await runCommand(['verify', 'm1'], at);
    expect([verified.code, verified.stdout]).toEqual([6, expect.stringContaining('two teams have no lead')]);
  });
});
