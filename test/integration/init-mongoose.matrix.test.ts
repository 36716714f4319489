import { mkdir, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { initProject } from '../../src/verbs/init.js';
import { matrix } from '../support/tiers.js';
import { cwd, installGodwit, node, put, read, TYPESCRIPT } from './folder.js';

const CLIENT = `const mongoose = require('mongoose');
mongoose.connect('mongodb://127.0.0.1:1/nowhere');
mongoose.createConnection('mongodb://127.0.0.1:1/nowhere');
setInterval(() => {}, 1_000);
module.exports = mongoose.model('Client', new mongoose.Schema({ mail: String }, { collection: 'legacy_clients' }));`;
const PERSON = `import mongoose, { Schema } from 'mongoose';
await mongoose.connect('mongodb://127.0.0.1:1/nowhere');
const schema = new Schema({ name: String });
export default mongoose.model('Person', schema);`;
const INVOICE = `const { Schema } = require('mongoose');
module.exports = (connection) => connection.model('Invoice', new Schema({ total: Number }), 'bills');`;

const require = createRequire(import.meta.url);
const VERSIONS = [
  ['9', require.resolve('mongoose9/package.json')],
  ['8', require.resolve('mongoose8/package.json')],
] as const;

describe.each(matrix(VERSIONS))('init in a project that uses Mongoose %s', (_version, mongoose) => {
  beforeEach(async () => {
    await mkdir(join(cwd, 'node_modules'), { recursive: true });
    await symlink(dirname(mongoose), join(cwd, 'node_modules/mongoose'));
    await put('models/client.cjs', CLIENT);
    await put('models/index.cjs', "module.exports = [require('./client.cjs')];");
    await put('src/models/crm/person.mjs', PERSON);
    await put('src/models/crm/person.test.mjs', "throw new Error('tests are not loaded');");
    await put('app/models/invoice.cjs', INVOICE);
  });

  it.each(['module', 'commonjs'])('writes a check-models.js that works (type %s)', async (type) => {
    await put('package.json', { type, dependencies: { mongoose: '*' } });
    expect((await initProject({ cwd })).created).toContain('scripts/check-models.js');
    const good = await node('scripts/check-models.js');
    expect(good.output).toMatch(/\n3 models load, 0 fail\n$/);
    expect(good.output).toMatch(/^ok {4}models\/client\.cjs {2}Client$/m);
    expect(good.code).toBe(0);
    await put('lib/models/again.cjs', CLIENT);
    await put('lib/models/broken.cjs', 'const a = ;');
    await put('lib/models/leaves.cjs', 'process.exit(0);');
    await put('lib/models/missing.mjs', "import './not-there.mjs';");
    const bad = await node('scripts/check-models.js');
    expect(bad.output).toMatch(/\n3 models load, 5 fail\n$/);
    expect(bad.output).toMatch(/fail {2}lib\/models\/broken\.cjs\n +SyntaxError.*\(lib\/models\/broken\.cjs:1\)/);
    expect(bad.output).toMatch(/fail {2}(lib\/models\/again|models\/client)\.cjs\n +OverwriteModelError/);
    expect(bad.output).toMatch(
      /fail {2}lib\/models\/leaves\.cjs\n +Error: it ends the process \(lib\/models\/leaves\.cjs:1:9\)/,
    );
    // The index gathers a file that fails, so it fails with it.
    expect(bad.output).toContain('fail  models/index.cjs');
    expect(bad.code).toBe(1);
  });

  it('checks models in TypeScript too', async () => {
    await put('package.json', { ...TYPESCRIPT, dependencies: { mongoose: '*' } });
    await installGodwit();
    await put(
      'models/order.ts',
      `import { model, Schema } from 'mongoose';
interface Order { total: number }
export const OrderModel = model<Order>('Order', new Schema<Order>({ total: Number }));`,
    );
    await initProject({ cwd });
    const { code, output } = await node('scripts/check-models.js');
    expect(output).toMatch(/^ok {4}models\/order\.ts {2}Order$/m);
    expect(output).toMatch(/\n4 models load, 0 fail\n$/);
    expect(code).toBe(0);
  });

  it('maps every model to itself, with its collection', async () => {
    await put('package.json', { devDependencies: { mongoose: '*' } });
    await put('lib/models/sales-order.js', "const { Schema } = require('mongoose');\nmodule.exports = new Schema({});");
    await put('lib/models/again.cjs', CLIENT);
    await initProject({ cwd });
    const text = await read('scripts/model-mapping.json');
    const entry = (target: string, file: string, collection: string) => ({ target, file, collection });
    expect(JSON.parse(text)).toEqual({
      models: {
        'Client (lib/models/again.cjs)': entry('Client', 'lib/models/again.cjs', 'legacy_clients'),
        'Client (models/client.cjs)': entry('Client', 'models/client.cjs', 'legacy_clients'),
        Invoice: entry('Invoice', 'app/models/invoice.cjs', 'bills'),
        Person: entry('Person', 'src/models/crm/person.mjs', 'people'),
        SalesOrder: entry('SalesOrder', 'lib/models/sales-order.js', 'salesorders'),
      },
    });
    await rm(join(cwd, 'scripts/model-mapping.json'));
    await initProject({ cwd });
    expect(await read('scripts/model-mapping.json')).toBe(text);
  });
});
