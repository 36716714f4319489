/** Expand, migrate, contract: three runs of one migration, each allowed once the one before has done what it needs. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { type Godwit, godwit } from '../../src/godwit.js';
import { runCommand, runJson } from '../support/command.js';
import { makeProject } from '../support/project.js';
import { hashOf, useScratch } from '../support/scratch.js';

interface Doc {
  _id: number | string;
  [field: string]: unknown;
}

const FILE = `import { defineMigration, merge, schema } from 'godwit';
export default defineMigration({
  description: 'clients become contacts',
  expand: [
    schema.createCollection({ name: 'contacts' }),
    schema.createIndex({ collection: 'contacts', key: { email: 1 } }),
  ],
  steps: [merge({ into: 'contacts', from: { clients: { map: ({ mail }) => ({ email: mail }) } }, identity: [({ email }) => email] })],
  contract: [schema.dropCollection({ name: 'clients', keepAs: 'clients_old' })],
  async verify(ctx) { await ctx.expectNone('contacts', { email: { $exists: false } }); },
});
`;

const LATER = `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'later', dependsOn: ['m1'], steps: [transform({ collection: 'contacts', up: (doc) => ({ ...doc, seen: true }) })] });
`;

const GATES = ['readers', 'watch', 'backup'];

describe.concurrent('a migration in phases', () => {
  const scratch = useScratch('phases', () => inject('mongoUri'));

  async function place(files: Readonly<Record<string, string>> = {}) {
    const { db, uri } = scratch.make();
    await db.collection<Doc>('clients').insertMany([
      { _id: 1, mail: 'ana@x.test' },
      { _id: 2, mail: 'bo@x.test' },
    ]);
    const cwd = await makeProject({ 'scripts/migrations/m1.mjs': FILE, ...files });
    const names = async (): Promise<string[]> =>
      (await db.listCollections({}, { nameOnly: true }).toArray())
        .map(({ name }) => name)
        .filter((name) => !name.startsWith('migrations'))
        .sort();
    const use = async <T>(work: (g: Godwit) => Promise<T>): Promise<T> => {
      await using g = await godwit({ uri, cwd });
      return await work(g);
    };
    const run = (id = 'm1') => use((g) => g.run(id).result);
    const back = (id = 'm1') => use((g) => g.rollback(id).result);
    const states = () => use(async (g) => (await g.list()).map(({ id, state }) => `${id} ${state}`));
    const waiveAll = () =>
      use(async (g) => void (await Promise.all(GATES.map((gate) => g.waive(gate, { because: 'a test' })))));
    return { db, at: { uri, cwd }, cwd, names, use, run, back, states, waiveAll };
  }

  test('goes phase by phase, the last one once it is proven and answered for, and back the same way', async () => {
    const { db, names, use, run, back, states, waiveAll } = await place();
    const before = await hashOf(db, 'clients');
    expect(await states()).toEqual(['m1.expand pending', 'm1.migrate pending', 'm1.contract pending']);
    expect(await use((g) => g.dryRun('m1'))).toMatchObject({ migration: 'm1.expand' });
    expect(await run()).toMatchObject({
      migration: 'm1.expand',
      state: 'completed',
      phase: 'expand',
      nextPhase: 'migrate',
    });
    expect(await names()).toEqual(['clients', 'contacts']);
    expect(await run()).toMatchObject({
      migration: 'm1.migrate',
      state: 'completed',
      inserted: 2,
      nextPhase: 'contract',
    });
    expect(await use((g) => g.verify('m1'))).toMatchObject({ migration: 'm1.migrate', ok: true });

    await expect(run()).rejects.toMatchObject({ code: 'GODWIT_CONTRACT', exitCode: 3, details: { gates: GATES } });
    expect((await use((g) => g.dryRun('m1'))).warnings).toHaveLength(3);
    await waiveAll();
    // Written behind the migration: not in the new shape, and about to go.
    await db.collection<Doc>('clients').insertOne({ _id: 3, mail: 'cy@x.test' });
    await expect(run()).rejects.toMatchObject({
      code: 'GODWIT_CONTRACT',
      message: expect.stringContaining('source documents that the merge would still change'),
    });
    expect(await names()).toEqual(['clients', 'contacts']);
    await db.collection<Doc>('clients').deleteOne({ _id: 3 });

    expect(await run()).toMatchObject({ migration: 'm1.contract', state: 'completed', nextPhase: null });
    expect(await names()).toEqual(['clients_old', 'contacts']);
    expect(await run()).toMatchObject({ migration: 'm1.contract', state: 'completed' });
    expect(await states()).toEqual(['m1.expand completed', 'm1.migrate completed', 'm1.contract completed']);

    await expect(use((g) => g.verify('m1.migrate'))).rejects.toMatchObject({
      message: expect.stringContaining('before its contract phase'),
    });
    await expect(back('m1.migrate')).rejects.toMatchObject({ code: 'GODWIT_DEPENDENCY' });
    expect(await back()).toMatchObject({ migration: 'm1.contract', state: 'rolled-back', identical: true });
    expect(await back()).toMatchObject({ migration: 'm1.migrate', removed: 2, identical: true });
    expect(await back()).toMatchObject({ migration: 'm1.expand', state: 'rolled-back' });
    expect(await names()).toEqual(['clients']);
    expect(await hashOf(db, 'clients')).toBe(before);
  });

  test('is depended on by what it has migrated, and left by run --all before it takes anything away', async () => {
    const { at, names, run, states } = await place({ 'scripts/migrations/m2.mjs': LATER });
    await expect(run('m2')).rejects.toMatchObject({ code: 'GODWIT_DEPENDENCY' });
    const { code, json } = await runJson(['run', '--all', '--progress', 'none'], at);
    expect([code, json['ok']]).toEqual([0, true]);
    expect(await states()).toEqual([
      'm1.expand completed',
      'm1.migrate completed',
      'm1.contract pending',
      'm2 completed',
    ]);
    expect(await names()).toEqual(['clients', 'contacts']);
    const refused = await runJson(['rollback', 'm1'], at);
    expect([refused.code, JSON.stringify(refused.json)]).toEqual([2, expect.stringContaining('m2')]);
  });

  test('believes a waiver for the file that it was given for, and for as long as it says', async () => {
    const { at, cwd, use, run, waiveAll } = await place();
    await run();
    await run();
    await waiveAll();
    const path = join(cwd, 'scripts/migrations/m1.mjs');
    await writeFile(path, (await readFile(path, 'utf8')).replace("keepAs: 'clients_old'", "keepAs: 'clients_gone'"));
    await expect(run('m1.contract')).rejects.toMatchObject({ code: 'GODWIT_CONTRACT' });
    await use((g) => g.waive('watch', { id: 'm1', because: 'a test', until: '1s' }));
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    await expect(run('m1.contract')).rejects.toMatchObject({ details: { gates: GATES } });
    const usage = async (...args: string[]) => {
      const { code, stdout } = await runCommand([...args, '--json'], at);
      return [code, JSON.parse(stdout).error?.message];
    };
    expect(await usage('waive', 'reader', '--because', 'x')).toEqual([
      2,
      expect.stringContaining('Did you mean "readers"?'),
    ]);
    expect(await usage('waive', 'watch', '--because', ' ')).toEqual([2, expect.stringContaining('an empty one')]);
    expect(await usage('waive', 'watch', '--because', 'x', '--until', '2020-01-01')).toEqual([
      2,
      expect.stringContaining('2020'),
    ]);
    expect(await usage('run', 'm1', '--phase', 'shrink')).toEqual([
      2,
      expect.stringContaining('expand, migrate, contract'),
    ]);
    expect(await usage('run', '--all', '--phase', 'expand')).toEqual([2, expect.stringContaining('--phase beside it')]);
    const waived = await runCommand(['waive', 'backup', '--because', 'restored on staging', '--until', '7d'], at);
    expect([waived.code, waived.stdout]).toEqual([0, expect.stringContaining('WAIVED: backup of m1.contract until')]);
  });

  test('one without phases has none', async () => {
    const { at } = await place({
      'scripts/migrations/m3.mjs': `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'plain', steps: [transform({ collection: 'clients', up: (doc) => doc })] });
`,
    });
    const { code, stdout } = await runCommand(['run', 'm3', '--phase', 'expand', '--json'], at);
    expect([code, JSON.parse(stdout).error.message]).toEqual([2, expect.stringContaining('without phases')]);
  });
});
