import mongoose8 from 'mongoose8';
import mongoose9 from 'mongoose9';
import { describe, expect, test } from 'vitest';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { dataHash, useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';

/** The migration takes its BSON classes from the application's own Mongoose, as a user's file would. */
const migration = (name: string): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import mongoose from '${import.meta.resolve(name)}';
import { defineMigration, transform } from 'godwit';
const { ObjectId, Decimal128, Long, Binary, UUID } = mongoose.mongo;
export default defineMigration({
  description: 'values of Mongoose\\'s own bson',
  steps: [transform({ collection: 'clients', up: (doc) => ({
    ...doc,
    ref: new ObjectId('64b7f0c2a1b2c3d4e5f60718'),
    nested: { price: Decimal128.fromString('12.50'), list: [Long.fromString('9007199254740993'), new ObjectId('64b7f0c2a1b2c3d4e5f60719')] },
    raw: new Binary(Buffer.from('abc'), 0),
    uuid: new UUID('2667fae8-764d-4013-b7e1-197a3de3d629'),
    kept: doc.balance,
  }) })],
});
`,
  });

describe.each([
  ['8', 'mongoose8', mongoose8 as unknown as typeof mongoose9],
  ['9', 'mongoose9', mongoose9],
])('documents of Mongoose %s', (_version, name, mongoose) => {
  const { db, uri } = useDatabase(name);

  test('go through a transform that returns its own BSON values, come back exact, and roll back', async () => {
    const connection = await mongoose.createConnection(uri).asPromise();
    const { Schema } = mongoose;
    const Client = connection.model(
      'Client',
      new Schema({
        name: String,
        balance: Schema.Types.Decimal128,
        owner: Schema.Types.ObjectId,
        born: Date,
        tags: { type: Map, of: String },
        photo: Buffer,
        lines: [{ sku: String, n: Number }],
      }),
    );
    const owner = new mongoose.Types.ObjectId();
    await Client.create([
      {
        name: 'Ada',
        balance: mongoose.Types.Decimal128.fromString('5.00'),
        owner,
        born: new Date(0),
        tags: { a: '1', b: '2' },
        photo: Buffer.from([1, 2]),
        lines: [{ sku: 'x', n: 1.5 }],
      },
      { name: 'Bob', lines: [] },
    ]);
    const before = await dataHash(db);
    const session = await openSession({ cwd: await migration(name), uri });
    try {
      expect(await startRun(session, 'm1').result).toMatchObject({ state: 'completed', changed: 2, failed: 0 });
      expect((await verify(session, 'm1', { full: true })).ok).toBe(true);
      const [ada] = await db
        .collection('clients')
        .find({ name: 'Ada' }, { promoteValues: false, promoteLongs: false })
        .toArray();
      expect(ada?.['ref'].toHexString()).toBe('64b7f0c2a1b2c3d4e5f60718');
      expect(ada?.['nested'].price.toString()).toBe('12.50');
      expect(ada?.['nested'].list.map((value: { _bsontype: string }) => [value._bsontype, String(value)])).toEqual([
        ['Long', '9007199254740993'],
        ['ObjectId', '64b7f0c2a1b2c3d4e5f60719'],
      ]);
      expect([ada?.['raw'].sub_type, Buffer.from(ada?.['raw'].buffer).toString()]).toEqual([0, 'abc']);
      expect([ada?.['uuid'].sub_type, String(ada?.['uuid'])]).toEqual([4, '2667fae8-764d-4013-b7e1-197a3de3d629']);
      expect([ada?.['kept']._bsontype, String(ada?.['kept'])]).toEqual(['Decimal128', '5.00']);
      // The application reads its own fields as before.
      const read = await Client.findOne({ name: 'Ada' }).orFail();
      expect([String(read.balance), String(read.owner), read.tags?.get('b'), read.lines[0]?.n]).toEqual([
        '5.00',
        String(owner),
        '2',
        1.5,
      ]);
      // A model of the new shape reads the new ones.
      const NewClient = connection.model(
        'NewClient',
        new Schema({
          ref: Schema.Types.ObjectId,
          nested: { price: Schema.Types.Decimal128, list: [Schema.Types.Mixed] },
          raw: Buffer,
          uuid: Schema.Types.UUID,
          kept: Schema.Types.Decimal128,
        }),
        'clients',
      );
      const renewed = await NewClient.findOne({ name: 'Ada' }).orFail();
      await expect(renewed.validate()).resolves.toBeUndefined();
      expect([renewed.ref, renewed.nested?.price, renewed.uuid, renewed.kept, renewed.raw].map(String)).toEqual([
        '64b7f0c2a1b2c3d4e5f60718',
        '12.50',
        '2667fae8-764d-4013-b7e1-197a3de3d629',
        '5.00',
        'abc',
      ]);
      expect((await startRollback(session, 'm1').result).identical).toBe(true);
      expect(await dataHash(db)).toEqual(before);
    } finally {
      await closeSession(session);
      await connection.close();
    }
  });
});
