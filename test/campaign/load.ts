/**
 * The application: a client of its own that writes while the runner works, and notes what was acknowledged. Each
 * document belongs to one writer, so that the order of its writes is known; the hot one is only ever incremented.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { deserialize } from 'bson';
import { type Collection, type Document, MongoClient } from 'mongodb';
import type { Dice } from './dice.js';
import { diceFrom } from './dice.js';
import { documentOf } from './documents.js';
import { COLLECTION, migrated } from './migration.js';
import type { Model, ModelDocument } from './model.js';
import { bsonValue, bytesOf, type Fields, fieldsOf, idOf, put } from './raw.js';
import type { LoadKind, Schedule } from './schedule.js';
import { editTeams, teamsIn } from './team-load.js';

type Write = 'increment' | 'edit' | 'insert' | 'delete' | 'save' | 'transaction';

const WRITES: Readonly<Record<LoadKind, Readonly<Partial<Record<Write, number>>>>> = {
  none: {},
  edits: { increment: 3, edit: 3 },
  inserts: { insert: 4, delete: 2, edit: 2 },
  saves: { save: 4, edit: 1, increment: 1 },
  transactions: { transaction: 4, increment: 1 },
  hot: { increment: 1 },
  all: { increment: 2, edit: 2, insert: 2, delete: 1, save: 2, transaction: 1 },
};

const WRITERS = 2;
/** Between the writes of one writer, in ms. */
const PAUSE_MS = { low: 1, high: 25 };
/** Above every document that the schedule begins with. */
const FIRST_NEW = 1_000_000;

/** New documents are good ones. */
const withoutBad = ({ collection, migration, ...rest }: Schedule): Schedule => ({
  ...rest,
  collection: { ...collection, rule: 'none' },
  migration: { ...migration, badPercent: 0 },
});

export class Load {
  readonly #stop = new AbortController();
  readonly #client: MongoClient;
  readonly #collection: Collection;
  #left: number;
  #next = FIRST_NEW;
  #work: Promise<unknown> = Promise.resolve();

  private constructor(
    uri: string,
    database: string,
    private readonly schedule: Schedule,
    private readonly model: Model,
  ) {
    this.#client = new MongoClient(uri, { appName: 'application', serverSelectionTimeoutMS: 20_000 });
    const w = schedule.load.w;
    this.#collection = this.#client.db(database).collection(COLLECTION, { writeConcern: { w } });
    this.#left = schedule.load.kind === 'none' ? 0 : schedule.load.writes;
  }

  static start(uri: string, database: string, schedule: Schedule, model: Model): Load {
    const load = new Load(uri, database, schedule, model);
    const writers = Array.from({ length: WRITERS }, (_, writer) => load.#writer(writer));
    load.#work = Promise.all([...writers, load.#teamWriter()]);
    return load;
  }

  /** No more writes of whole shapes: after the run's end nobody would migrate them. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#work;
    await this.#client.close();
  }

  async #writer(writer: number): Promise<void> {
    const dice = diceFrom(this.schedule.seed * WRITERS + writer);
    const weights = WRITES[this.schedule.load.kind];
    const own = [...this.model.documents.values()].filter((_, at) => at % WRITERS === writer);
    while (this.#left > 0 && !this.#stop.signal.aborted) {
      this.#left -= 1;
      await this.#one(dice, dice.weighted(weights as Record<Write, number>), own);
      await sleep(dice.int(PAUSE_MS.low, PAUSE_MS.high));
    }
  }

  async #teamWriter(): Promise<void> {
    if (this.schedule.load.kind === 'none') return;
    const teams = teamsIn(this.#client.db(this.#collection.dbName));
    const { signal } = this.#stop;
    await editTeams(teams, this.model, this.schedule, { signal, batches: () => this.#batches() });
  }

  /** As Godwit has stored it: an edit in the middle of a run must find the middle. */
  async #batches(): Promise<number> {
    const chunks = this.#client.db(this.#collection.dbName).collection('migrations_chunks');
    const found = await chunks
      .find({}, { projection: { seq: 1 } })
      .toArray()
      .catch(() => []); // the server is away for a while in some schedules
    return found.reduce((sum, { seq }) => sum + Number(seq ?? 0), 0);
  }

  async #one(dice: Dice, write: Write, own: ModelDocument[]): Promise<void> {
    if (write === 'insert') return this.#insert(dice);
    const isHot = this.schedule.load.kind === 'hot';
    const [first] = this.model.documents.values();
    const living = own.filter(({ fields }) => fields !== null);
    const target = isHot ? first : living.length > 0 ? dice.pick(living) : undefined;
    if (!target?.fields) return;
    const filter = { _id: idOf(target.fields) } as Document;
    const text = `e-${this.model.writes}-${dice.int(0, 1e6)}`;
    switch (write) {
      case 'increment':
        return this.#acknowledged(target, async () => {
          const { matchedCount } = await this.#collection.updateOne(filter, { $inc: { n: 1 } });
          if (matchedCount === 1) this.model.incremented(target);
          else this.#missed(target);
        });
      case 'edit':
        return this.#acknowledged(target, async () => {
          const { matchedCount } = await this.#collection.updateOne(filter, { $set: { e: text } });
          if (matchedCount === 1) this.model.edited(target, text);
          else this.#missed(target);
        });
      case 'delete':
        return this.#acknowledged(target, async () => {
          const { deletedCount } = await this.#collection.deleteOne(filter);
          if (deletedCount === 1) this.model.deleted(target);
          else this.#missed(target);
        });
      case 'save':
        return this.#save(target, filter, text, dice);
      case 'transaction':
        return this.#transaction(target, filter, text);
    }
  }

  /** A document that the application has, and the database has not: told by I4, since the model keeps it. */
  #missed(target: ModelDocument): void {
    target.isWritten = true;
  }

  async #acknowledged(target: ModelDocument, write: () => Promise<void>): Promise<void> {
    const startedAt = performance.now();
    await write().catch(() => this.model.unknown(target));
    this.model.longestWaitMs = Math.max(this.model.longestWaitMs, performance.now() - startedAt);
  }

  /** Reads the whole document, thinks, and puts it back: stale where the run came by in between. */
  async #save(target: ModelDocument, filter: Document, text: string, dice: Dice): Promise<void> {
    const [raw] = await this.#collection
      .find(filter, { raw: true })
      .toArray()
      .catch(() => []);
    if (!raw) return;
    await sleep(dice.int(0, 20));
    const fields = put(fieldsOf(raw as unknown as Uint8Array), 'e', bsonValue(text));
    const document = deserialize(bytesOf(fields), { promoteValues: false });
    await this.#acknowledged(target, async () => {
      const { matchedCount } = await this.#collection.replaceOne(filter, document);
      if (matchedCount === 1) this.model.saved(target, fields);
      else this.#missed(target);
    });
  }

  async #transaction(target: ModelDocument, filter: Document, text: string): Promise<void> {
    const session = this.#client.startSession();
    try {
      await session.withTransaction(async () => {
        await this.#collection.updateOne(filter, { $inc: { n: 1 } }, { session });
        await this.#collection.updateOne(filter, { $set: { e: text } }, { session });
      });
      this.model.incremented(target);
      this.model.edited(target, text);
    } catch {
      this.model.unknown(target);
    } finally {
      await session.endSession();
    }
  }

  async #insert(dice: Dice): Promise<void> {
    const at = this.#next;
    this.#next += 1;
    const old = documentOf(at, withoutBad(this.schedule));
    // A new version of the application writes the new shape already.
    const fields: Fields = dice.chance(0.3) ? migrated(this.schedule, old, this.model.teams.nameNow(old)) : old;
    const document = deserialize(bytesOf(fields), { promoteValues: false });
    const sentAt = Date.now();
    await this.#collection.insertOne(document, { forceServerObjectId: true }).then(
      () => this.model.inserted(fields, sentAt),
      () => this.model.inserted(fields, sentAt, true),
    );
  }
}
