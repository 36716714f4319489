/** Two documents that a unique index would not take both: found before anything is written. */
import type { Collection } from 'mongodb';
import type { Change } from '../domain/change.js';
import { droppedFrom, type SchemaOperation } from '../domain/schema-operation.js';
import { type StoredDocument, storedDocument, typedId } from '../domain/stored-document.js';
import { toPlain } from '../kernel/values.js';
import {
  holdersOf,
  type IndexKey,
  keyOf,
  type UniqueIndex,
  type UniqueIndexes,
  uniqueAmong,
} from '../mongo/unique-keys.js';
import { ShownId } from './shown-id.js';

export interface Collision {
  readonly index: string;
  readonly _id: ShownId;
  readonly otherId: ShownId;
}

const MAX_LISTED = 1_000;

interface Wanted {
  readonly key: IndexKey;
  readonly document: string;
  readonly id: ShownId;
}

/**
 * Goes through the changes as a run with one worker would, in the order of their `_id`s: a key is free when nobody
 * has it, or who had it has moved away before. A document that collides stays, and keeps its old key.
 */
class IndexWatch {
  /** A document had several keys, or is to have: said, not guessed. */
  sawSeveral = false;
  /** New key → the document that has it by now. */
  readonly #taken = new Map<string, ShownId>();
  /** Documents that gave their old key up. */
  readonly #moved = new Set<string>();

  constructor(
    readonly index: UniqueIndex,
    private readonly collection: Collection,
  ) {}

  /** Takes a batch; returns its collisions. */
  async add(changes: readonly Change[]): Promise<Collision[]> {
    const moves: { document: string; wanted: Wanted | null }[] = [];
    for (const change of changes) {
      const before = keyOf(this.index, toPlain(change.before.bytes));
      const after = keyOf(this.index, toPlain(change.after));
      if (before === 'several' || after === 'several') this.sawSeveral = true;
      else if (after === 'none' ? before !== 'none' : before === 'none' || before.text !== after.text) {
        const document = change.before.key;
        const id = new ShownId(typedId(change.before));
        moves.push({ document, wanted: after === 'none' ? null : { key: after, document, id } });
      }
    }
    const holders = await this.#holders(moves.flatMap(({ wanted }) => wanted ?? []));
    return moves.flatMap(({ document, wanted }) => {
      const other = wanted && this.#inTheWay(wanted, holders);
      if (wanted && other) return [{ index: this.index.name, _id: wanted.id, otherId: other }];
      this.#moved.add(document);
      if (wanted) this.#taken.set(wanted.key.text, wanted.id);
      return [];
    });
  }

  #inTheWay({ key, document }: Wanted, holders: ReadonlyMap<string, StoredDocument>): ShownId | undefined {
    const taken = this.#taken.get(key.text);
    if (taken) return taken;
    const holder = holders.get(key.text);
    const stays = holder && holder.key !== document && !this.#moved.has(holder.key);
    return stays ? new ShownId(typedId(holder)) : undefined;
  }

  /** The documents that hold one of the keys now. */
  async #holders(wanted: readonly Wanted[]): Promise<Map<string, StoredDocument>> {
    const holders = new Map<string, StoredDocument>();
    const keys = new Map(wanted.map(({ key }) => [key.text, key]));
    for (const raw of await holdersOf(this.collection, this.index, [...keys.values()])) {
      const key = keyOf(this.index, toPlain(raw));
      if (typeof key === 'object') holders.set(key.text, storedDocument(raw));
    }
    return holders;
  }
}

/** What of a collection's indexes will be otherwise than it is now. */
export interface IndexesToBe {
  /** False: a migration makes the collection. */
  readonly isThere: boolean;
  /** Operations on it that come before. */
  readonly schema: readonly SchemaOperation[];
  /** An earlier step writes its documents: who has which key by then, nobody can tell. */
  readonly isUnsure: boolean;
}

async function indexesToBe(collection: Collection, { isThere, schema }: IndexesToBe): Promise<UniqueIndexes> {
  const now = isThere ? await collection.indexes() : [];
  const made = schema.flatMap((operation) =>
    operation.kind === 'createIndex' ? { ...operation.options, key: operation.key, name: operation.name } : [],
  );
  const gone = droppedFrom(collection.collectionName, schema);
  const left = now.filter(({ name }) => !gone.has(String(name)) && !made.some((one) => one.name === name));
  return uniqueAmong([...left, ...made]);
}

export class Collisions {
  readonly found: Collision[] = [];
  count = 0;

  private constructor(
    private readonly watches: readonly IndexWatch[],
    private readonly uncheckable: readonly string[],
    /** Those that cannot be told yet. */
    readonly unsure: readonly string[],
  ) {}

  /** Names of unique indexes that were not checked. */
  get unchecked(): readonly string[] {
    const several = this.watches.filter(({ sawSeveral }) => sawSeveral).map(({ index }) => index.name);
    return [...this.uncheckable, ...several];
  }

  static async of(collection: Collection, toBe: IndexesToBe): Promise<Collisions> {
    const { checkable, unchecked } = await indexesToBe(collection, toBe);
    if (toBe.isUnsure)
      return new Collisions(
        [],
        unchecked,
        checkable.map(({ name }) => name),
      );
    return new Collisions(
      checkable.map((index) => new IndexWatch(index, collection)),
      unchecked,
      [],
    );
  }

  /** Indexes that were looked at. */
  get checked(): number {
    return this.watches.length;
  }

  #take(collisions: readonly Collision[]): void {
    this.count += collisions.length;
    this.found.push(...collisions.slice(0, Math.max(0, MAX_LISTED - this.found.length)));
  }

  async add(changes: readonly Change[]): Promise<void> {
    for (const watch of this.watches) this.#take(await watch.add(changes));
  }
}
