/**
 * Documents that a TTL index would delete at once: their key becomes a date that has passed. The server deletes such
 * documents within a minute, and a rollback has nothing to put back but what the audit holds.
 */
import type { Collection, Document } from 'mongodb';
import type { Change } from '../domain/change.js';
import { droppedFrom, type SchemaOperation } from '../domain/schema-operation.js';
import { toTyped } from '../kernel/values.js';

interface TimeIndex {
  readonly name: string;
  readonly path: readonly string[];
  readonly afterMs: number;
}

export interface ExpiringCount {
  readonly index: string;
  readonly documents: number;
}

const isTimeIndex = ({ expireAfterSeconds, key }: Document): boolean =>
  typeof expireAfterSeconds === 'number' && Object.keys(key as Document).length === 1;

const timeIndexOf = (index: Document): TimeIndex => ({
  name: String(index['name']),
  path: (Object.keys(index['key'] as Document)[0] ?? '').split('.'),
  afterMs: Number(index['expireAfterSeconds']) * 1_000,
});

/** The dates at a path, through arrays: the least one counts (MongoDB manual, "TTL Indexes"). */
function datesAt(value: unknown, path: readonly string[]): Date[] {
  if (Array.isArray(value)) return value.flatMap((item) => datesAt(item, path));
  const [name, ...rest] = path;
  if (name === undefined) return value instanceof Date ? [value] : [];
  return value !== null && typeof value === 'object' ? datesAt((value as Document)[name], rest) : [];
}

export class Expiring {
  readonly #counts = new Map<string, number>();

  private constructor(
    private readonly indexes: readonly TimeIndex[],
    private readonly nowMs: number,
  ) {}

  /** @param schema operations on the collection that come before */
  static async of(
    collection: Collection,
    { isThere, schema, nowMs }: { isThere: boolean; schema: readonly SchemaOperation[]; nowMs: number },
  ): Promise<Expiring> {
    const gone = droppedFrom(collection.collectionName, schema);
    const now = isThere ? await collection.indexes() : [];
    const made = schema.flatMap((operation) =>
      operation.kind === 'createIndex' ? { ...operation.options, key: operation.key, name: operation.name } : [],
    );
    const all: Document[] = [...now.filter(({ name }) => !gone.has(String(name))), ...made];
    return new Expiring(all.filter(isTimeIndex).map(timeIndexOf), nowMs);
  }

  #isExpired(bytes: Buffer, { path, afterMs }: TimeIndex): boolean {
    return datesAt(toTyped(bytes), path).some((date) => date.getTime() + afterMs < this.nowMs);
  }

  add(changes: readonly Change[]): void {
    for (const index of this.indexes)
      for (const { set, before, after, kind } of changes) {
        const isTouched = kind === 'insert' || set.has(index.path[0] ?? '');
        if (!isTouched || !this.#isExpired(after, index) || this.#isExpired(before.bytes, index)) continue;
        this.#counts.set(index.name, (this.#counts.get(index.name) ?? 0) + 1);
      }
  }

  list(): ExpiringCount[] {
    return [...this.#counts].map(([index, documents]) => ({ index, documents }));
  }
}
