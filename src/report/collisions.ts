/** Two documents that a unique index would not take both: found before anything is written. */
import type { Collection } from 'mongodb';
import { type Change, storedDocument, typedId } from '../domain/change.js';
import { toPlain } from '../kernel/values.js';
import { holdersOf, keyOf, readUniqueIndexes, type UniqueIndex } from '../mongo/unique-keys.js';
import { ShownId } from './shown-id.js';

export interface Collision {
  readonly index: string;
  readonly _id: ShownId;
  readonly otherId: ShownId;
}

const MAX_LISTED = 1_000;

class IndexWatch {
  /** New key → the document that is to have it. */
  readonly #taken = new Map<string, { key: string; id: ShownId }>();
  /** Documents whose key changes: their old one becomes free. */
  readonly #moved = new Set<string>();
  /** Documents that hold a wanted key now. */
  readonly #holders: { key: string; id: ShownId; byKey: string; byId: ShownId }[] = [];

  constructor(
    readonly index: UniqueIndex,
    private readonly collection: Collection,
  ) {}

  /** Takes note of a batch; returns the collisions inside the migration's own results. */
  async add(changes: readonly Change[]): Promise<Collision[]> {
    const collisions: Collision[] = [];
    const wanted = new Map<string, { filter: Record<string, unknown>; key: string; id: ShownId }>();
    for (const change of changes) {
      const before = keyOf(this.index, toPlain(change.before.bytes));
      const after = keyOf(this.index, toPlain(change.after));
      if (before?.text === after?.text) continue;
      this.#moved.add(change.before.key);
      if (!after) continue;
      const id = new ShownId(typedId(change.before));
      const other = this.#taken.get(after.text);
      if (other) collisions.push({ index: this.index.name, _id: id, otherId: other.id });
      else this.#taken.set(after.text, { key: change.before.key, id });
      wanted.set(after.text, { filter: after.filter, key: change.before.key, id });
    }
    if (wanted.size > 0) await this.#lookFor(wanted);
    return collisions;
  }

  async #lookFor(
    wanted: ReadonlyMap<string, { filter: Record<string, unknown>; key: string; id: ShownId }>,
  ): Promise<void> {
    const found = await holdersOf(
      this.collection,
      this.index,
      [...wanted.values()].map(({ filter }) => filter),
    );
    for (const raw of found) {
      const holder = storedDocument(raw as unknown as Buffer);
      const text = keyOf(this.index, toPlain(holder.bytes))?.text;
      const by = text === undefined ? undefined : wanted.get(text);
      if (by && by.key !== holder.key)
        this.#holders.push({ key: holder.key, id: new ShownId(typedId(holder)), byKey: by.key, byId: by.id });
    }
  }

  /** Collisions with documents that keep the key that another one is to have. */
  finish(): Collision[] {
    return this.#holders
      .filter(({ key }) => !this.#moved.has(key))
      .map(({ id, byId }) => ({ index: this.index.name, _id: byId, otherId: id }));
  }
}

export class Collisions {
  readonly found: Collision[] = [];
  count = 0;

  private constructor(
    private readonly watches: readonly IndexWatch[],
    /** Names of unique indexes that were not checked. */
    readonly unchecked: readonly string[],
  ) {}

  static async of(collection: Collection): Promise<Collisions> {
    const { checkable, unchecked } = await readUniqueIndexes(collection);
    return new Collisions(
      checkable.map((index) => new IndexWatch(index, collection)),
      unchecked,
    );
  }

  #take(collisions: readonly Collision[]): void {
    this.count += collisions.length;
    this.found.push(...collisions.slice(0, Math.max(0, MAX_LISTED - this.found.length)));
  }

  async add(changes: readonly Change[]): Promise<void> {
    for (const watch of this.watches) this.#take(await watch.add(changes));
  }

  finish(): void {
    for (const watch of this.watches) this.#take(watch.finish());
  }
}
