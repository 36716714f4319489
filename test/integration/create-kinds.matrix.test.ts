/** The test that `godwit create` writes beside each kind of migration passes as it is, and fails for a broken one. */
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { matrix } from '../support/tiers.js';
import { create, cwd, installGodwit, LANGUAGES, node, put, read, root } from './folder.js';

/** Of some kinds the short tier tells the one language, of the others the other one. */
const JAVASCRIPT_FIRST = [...LANGUAGES].reverse();

describe('create', () => {
  it.each(matrix(LANGUAGES))(
    'writes a test in %s that passes as it is, and fails when up() changes its input',
    async (_language, manifest) => {
      await put('package.json', manifest);
      await installGodwit();
      const { file, test } = await create('Unify contacts');
      const args = ['--test', test];
      expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 3') as unknown });
      await put(
        file,
        (await read(file)).replace(
          'return { ...doc, schemaVersion: 2 };',
          'return Object.assign(doc, { schemaVersion: 2 });',
        ),
      );
      expect(await node(...args)).toMatchObject({
        code: 1,
        output: expect.stringContaining('not extensible') as unknown,
      });
      const growing = 'return { ...doc, schemaVersion: 2, n: (doc.n ?? 0) + 1 };';
      await put(file, (await read(file)).replace(/return Object.assign.*/, growing).replace(/.*return skip.*\n/, ''));
      expect((await node(...args)).output).toContain('not ok 2 - a second time changes nothing');
    },
  );

  it.each(matrix(JAVASCRIPT_FIRST))(
    'writes a pipeline in %s and its test, which the server evaluates',
    async (_language, manifest) => {
      await put('package.json', manifest);
      await installGodwit();
      await symlink(join(root, 'node_modules/mongodb'), join(cwd, 'node_modules/mongodb'));
      const { file, test } = await create('Count up', { kind: 'pipeline' });
      const args = [test];
      expect((await node(...args)).output).toContain('# skipped 2');
      const before = process.env['MONGODB_URI'];
      process.env['MONGODB_URI'] = inject('mongoUri');
      try {
        expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 2') as unknown });
        await put(file, (await read(file)).replace('{ $set: { schemaVersion: 2 } }', '{ $set: { schemaVersion: 3 } }'));
        expect((await node(...args)).output).toContain('not ok 1 - a document in the old shape gets the new one');
      } finally {
        if (before === undefined) delete process.env['MONGODB_URI'];
        else process.env['MONGODB_URI'] = before;
      }
    },
  );

  it.each(matrix(LANGUAGES))(
    'writes references in %s and their test, which knows a value that names nothing',
    async (_language, manifest) => {
      await put('package.json', manifest);
      await installGodwit();
      const { file, test } = await create('Owners become references', { kind: 'references' });
      const args = [test];
      expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 4') as unknown });
      await put(file, (await read(file)).replace("dangling: 'report'", "dangling: 'null'"));
      expect((await node(...args)).output).toContain('not ok 4 - a value that names no document stays');
    },
  );

  it.each(matrix(JAVASCRIPT_FIRST))(
    'writes a merge in %s and its test, which knows who is nobody else',
    async (_language, manifest) => {
      await put('package.json', manifest);
      await installGodwit();
      const { file, test } = await create('One of all', { kind: 'merge' });
      const args = [test];
      expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 3') as unknown });
      await put(file, (await read(file)).replace('({ email }) => email', "({ email }) => email ?? 'none'"));
      expect((await node(...args)).output).toContain('not ok 3 - a document with nothing in it is nobody else');
    },
  );

  it.each(matrix(LANGUAGES))('writes schema steps in %s and their test', async (_language, manifest) => {
    await put('package.json', manifest);
    await installGodwit();
    const { file, test } = await create('One mail each', { kind: 'schema' });
    const args = [test];
    expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 1') as unknown });
    await put(file, (await read(file)).replace('schema.createIndex', 'schema.dropIndex'));
    expect((await node(...args)).code).toBe(1);
  });

  it.each(matrix(JAVASCRIPT_FIRST))(
    'writes a script in %s and its test, which runs it with helpers that take notes',
    async (_language, manifest) => {
      await put('package.json', manifest);
      await installGodwit();
      const { file, test } = await create('Marked by hand', { kind: 'script' });
      const args = [test];
      expect(await node(...args)).toMatchObject({ code: 0, output: expect.stringContaining('# pass 3') as unknown });
      const text = await read(file);
      await put(file, text.replace('await ctx.update', 'await ctx.remove(COLLECTION, {});\n        await ctx.update'));
      expect((await node(...args)).output).toContain('not ok 1 - the script asks for this, in this order');
      await put(file, text.replace('schemaVersion: 2 })', 'n: (doc.n ?? 0) + 1 })'));
      expect((await node(...args)).output).toContain('not ok 3 - a second time changes nothing');
    },
  );
});
