/**
 * An application that writes to the documents of a run at full speed, and an oracle of what was acknowledged. Each
 * writer has documents of its own, so that the order of their writes is known.
 */
import { setImmediate } from 'node:timers/promises';
import { type Collection, type Db, MongoClient } from 'mongodb';
import { randomFrom } from './crash.js';

export interface Customer {
  _id: number;
  mail: string;
  n: number;
  note: string;
  v?: number;
}

/** The run's shape: lower-case, and a version. */
export const LOWER = '(doc) => (doc.v === 2 ? doc : { ...doc, mail: doc.mail.toLowerCase(), v: 2 })';

interface Known {
  n: number;
  note: string;
}

const WRITERS = 4;

export class Application {
  /** What every document that is there must hold. */
  readonly known = new Map<number, Known>();
  readonly deleted = new Set<number>();
  writes = 0;
  /** Conflicts that its own transactions met, and tried again. */
  retried = 0;
  longestMs = 0;
  #isOver = false;
  #fresh = 1_000_000;
  #work: Promise<unknown> = Promise.resolve();
  readonly #client: MongoClient;
  readonly #customers: Collection<Customer>;

  constructor(uri: string, database: string, collection: string) {
    this.#client = new MongoClient(uri, { appName: 'application' });
    this.#customers = this.#client.db(database).collection(collection);
  }

  static async fill(db: Db, collection: string, count: number): Promise<void> {
    const customers = Array.from({ length: count }, (_, _id) => ({ _id, mail: `C${_id}@X.test`, n: 0, note: '' }));
    await db.collection<Customer>(collection).insertMany(customers);
  }

  /** Begins to write to the documents 0 to `count`. */
  start(count: number, seed: number): void {
    for (let id = 0; id < count; id += 1) if (!this.known.has(id)) this.known.set(id, { n: 0, note: '' });
    this.#isOver = false;
    const work = Promise.all(
      Array.from({ length: WRITERS }, (_, writer) => this.#writer(writer, count, seed + writer)),
    );
    // Thrown where it is waited for, in `stop`.
    work.catch(() => undefined);
    this.#work = work;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#work;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #writer(writer: number, count: number, seed: number): Promise<void> {
    const random = randomFrom(seed);
    while (!this.#isOver) {
      const id = Math.floor((random() * count) / WRITERS) * WRITERS + writer;
      const known = this.known.get(id);
      const startedAt = performance.now();
      if (!known || this.deleted.has(id)) {
        // All of this writer's may be gone: the rest of the process goes on.
        await setImmediate();
        continue;
      }
      await this.#write(id, known, random(), `note ${this.writes}/${writer}`);
      this.longestMs = Math.max(this.longestMs, performance.now() - startedAt);
      this.writes += 1;
    }
  }

  async #write(_id: number, known: Known, share: number, note: string): Promise<void> {
    if (share < 0.35) {
      await this.#customers.updateOne({ _id }, { $inc: { n: 1 } });
      known.n += 1;
    } else if (share < 0.6) {
      await this.#customers.updateOne({ _id }, { $set: { note } });
      known.note = note;
    } else if (share < 0.8) {
      // A whole document, read before and put back: in the shape that it had then.
      const found = await this.#customers.findOne({ _id });
      if (!found) throw new Error(`customer ${_id} is lost`);
      await this.#customers.replaceOne({ _id }, { ...found, note });
      known.note = note;
    } else if (share < 0.9) await this.#transaction(_id, known, note);
    else if (share < 0.97) {
      const fresh = this.#fresh++;
      await this.#customers.insertOne({ _id: fresh, mail: `NEW${fresh}@X.test`, n: 7, note });
      this.known.set(fresh, { n: 7, note });
    } else {
      await this.#customers.deleteOne({ _id });
      this.deleted.add(_id);
    }
  }

  async #transaction(_id: number, known: Known, note: string): Promise<void> {
    const session = this.#client.startSession();
    let tries = 0;
    try {
      await session.withTransaction(async () => {
        tries += 1;
        await this.#customers.updateOne({ _id }, { $inc: { n: 1 } }, { session });
        await this.#customers.updateOne({ _id }, { $set: { note } }, { session });
      });
      Object.assign(known, { n: known.n + 1, note });
    } finally {
      this.retried += tries - 1;
      await session.endSession();
    }
  }

  /** What is not as it was acknowledged; empty when no write is lost. */
  async lost(): Promise<string[]> {
    const found = new Map((await this.#customers.find().toArray()).map((customer) => [customer._id, customer]));
    const lost: string[] = [];
    for (const [id, { n, note }] of this.known) {
      const customer = found.get(id);
      if (this.deleted.has(id)) {
        if (customer) lost.push(`${id} was deleted and is there`);
      } else if (customer?.n !== n || customer.note !== note)
        lost.push(`${id}: wanted n ${n}, "${note}", found ${JSON.stringify(customer)}`);
    }
    for (const id of found.keys()) if (!this.known.has(id)) lost.push(`${id} came from nowhere`);
    return lost;
  }
}
