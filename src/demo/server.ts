/** The demo's own look at the database, independent of the runner. */
import { randomBytes } from 'node:crypto';
import { type Db, MongoClient } from 'mongodb';
import { requireVersion } from '../kernel/server-version.js';

/** A name that nobody has: on a server that is not ours, nothing else is touched. */
const newDatabase = (): string => `godwit_demo_${randomBytes(4).toString('hex')}`;

export class DemoServer {
  private constructor(
    private readonly client: MongoClient,
    readonly db: Db,
    readonly version: string,
    readonly what: string,
    readonly databaseUri: string,
  ) {}

  /** Connects, with an empty database of the demo's own. */
  static async open(uri: string, source: string | undefined): Promise<DemoServer> {
    const client = await new MongoClient(uri, { serverSelectionTimeoutMS: 5_000 }).connect();
    const name = newDatabase();
    const db = client.db(name);
    const { version } = await client.db('admin').command({ buildInfo: 1 });
    try {
      requireVersion(String(version));
    } catch (error) {
      await client.close();
      throw error;
    }
    const [base, query] = uri.split('?');
    const host = (base ?? '').replace(/^(mongodb(?:\+srv)?:\/\/[^/]+).*$/, '$1');
    const databaseUri = `${host}/${name}${query ? `?${query}` : ''}`;
    return new DemoServer(
      client,
      db,
      String(version),
      source ? `a one-node replica set of its own (${source})` : 'the server in MONGODB_URI',
      databaseUri,
    );
  }

  /** Hashes of all collections but Godwit's, and of Godwit's, as one text. */
  async hashes(): Promise<string> {
    return JSON.stringify((await this.db.command({ dbHash: 1 }))['collections']);
  }

  async customersHash(): Promise<string> {
    const { collections } = await this.db.command({ dbHash: 1, collections: ['customers'] });
    return String(collections['customers']);
  }

  /** Takes everything away: the demo's own, on a server that may be somebody's. */
  async empty(): Promise<void> {
    await this.db.dropDatabase();
  }

  /** Hashes of all collections but Godwit's, as one text. */
  async documentsHash(): Promise<string> {
    const { collections } = await this.db.command({ dbHash: 1 });
    return JSON.stringify(Object.entries(collections as object).filter(([name]) => !name.startsWith('migrations')));
  }

  /** Options and indexes of all collections but Godwit's, as one text. */
  async structure(): Promise<string> {
    const listed = await this.db.listCollections().toArray();
    const own = listed.filter(({ name }) => !name.startsWith('migrations')).sort((a, b) => (a.name < b.name ? -1 : 1));
    const all = own.map(async ({ name, ...rest }) => [name, rest, await this.db.collection(name).indexes()]);
    return JSON.stringify(await Promise.all(all));
  }

  countCustomers(): Promise<number> {
    return this.db.collection('customers').countDocuments();
  }

  /** Documents in the new shape, those that were so before the run included. */
  countMigrated(): Promise<number> {
    return this.db.collection('customers').countDocuments({ schemaVersion: 2 });
  }

  #born = 0;

  /** Takes note of the documents that are in the new shape before anything has run. */
  async noteBeginning(): Promise<void> {
    this.#born = await this.countMigrated();
  }

  /** Documents that are in the new shape and were not from the beginning. */
  async countChanged(): Promise<number> {
    return (await this.countMigrated()) - this.#born;
  }

  /** Before images in the audit. */
  async countAudited(): Promise<number> {
    const [sum] = await this.db
      .collection('migrations_audit')
      .aggregate<{ n: number }>([{ $match: { direction: 'up' } }, { $group: { _id: null, n: { $sum: '$n' } } }])
      .toArray();
    return sum?.n ?? 0;
  }

  /** Closes; on a server that is not ours the demo's database is dropped. */
  async close(isForeign: boolean): Promise<void> {
    if (isForeign) await this.db.dropDatabase().catch(() => undefined);
    await this.client.close();
  }
}
