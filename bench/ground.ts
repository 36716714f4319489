/** A fresh replica set with the documents, put back as they were before each contestant. */
import { type Db, MongoClient } from 'mongodb';
import { type EmbeddedServer, startEmbedded } from '../src/embedded/start.js';
import type { MakeDocument } from './documents.js';

const PORTION = 5_000;
const PRISTINE = 'pristine';

export class Ground {
  private constructor(
    readonly server: EmbeddedServer,
    private readonly client: MongoClient,
    private readonly db: Db,
  ) {}

  static async start(count: number, make: MakeDocument): Promise<Ground> {
    const server = await startEmbedded();
    const client = await new MongoClient(server.uri).connect();
    const ground = new Ground(server, client, client.db('bench'));
    for (let n = 0; n < count; n += PORTION) {
      const size = Math.min(PORTION, count - n);
      await ground.db
        .collection(PRISTINE)
        .insertMany(Array.from({ length: size }, (_, index) => make(n + index)) as never[]);
    }
    return ground;
  }

  get uri(): string {
    return this.server.uri.replace('/?', '/bench?');
  }

  /** Everything as before the first contestant, on disk. @param count documents, when not all */
  async reset(count?: number): Promise<void> {
    for (const { name } of await this.db.listCollections({}, { nameOnly: true }).toArray())
      if (name !== PRISTINE) await this.db.collection(name).drop();
    const limit = count === undefined ? [] : [{ $limit: count }];
    await this.db
      .collection(PRISTINE)
      .aggregate([...limit, { $out: 'contacts' }])
      .toArray();
    await this.db.collection('contacts').createIndexes([{ key: { email: 1 } }, { key: { createdAt: 1 } }]);
    await this.client.db('admin').command({ fsync: 1 });
  }

  /** What every contestant must leave. @throws Error when it did not */
  async requireDone(name: string, count: number): Promise<void> {
    const done = await this.db
      .collection('contacts')
      .countDocuments({ v: 2, fullName: { $exists: false }, 'name.first': { $type: 'string' } });
    const wanted = name === 'rollback' ? 0 : count;
    if (done !== wanted) throw new Error(`${name} left ${done} documents in the new shape, not ${wanted}`);
  }

  async buildInfo(): Promise<{ readonly version: string }> {
    return (await this.client.db('admin').command({ buildInfo: 1 })) as unknown as { version: string };
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.server.stop();
  }
}
