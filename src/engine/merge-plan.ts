/**
 * The plan of a merge: every document of the sources and of the canonical collection is looked at once, before the
 * first write, and given its group. Only the keys are kept: some 300 bytes of memory a document. Reads only.
 */
import { createHash } from 'node:crypto';
import { type Document, ObjectId } from 'bson';
import type { Db } from 'mongodb';
import { coveringRanges } from '../domain/chunk.js';
import { Grouping } from '../domain/grouping.js';
import { hiddenKey } from '../domain/mapped.js';
import { noteOf } from '../domain/merge-group.js';
import type { MergeStep } from '../domain/merge-step.js';
import { type StoredDocument, typedFields, typedId } from '../domain/stored-document.js';
import { GodwitError } from '../errors.js';
import { keyOf } from '../mongo/lookups.js';
import type { ReadFrom } from '../mongo/read-batch.js';
import { requireTarget, requireTargetOrNew } from '../mongo/target.js';
import { type Author, keysOfTargets, mapSources } from './map-sources.js';
import { walk } from './walk.js';

/** A document with its place in the plan. */
export interface PlannedMember {
  readonly from: string;
  readonly id: unknown;
  readonly canonical: unknown;
  readonly keys: readonly string[] | null;
  readonly order: number;
  readonly leads?: true;
}

export interface MergePlan {
  readonly into: ReadFrom;
  readonly sources: ReadonlyMap<string, ReadFrom>;
  /** Of the canonical collection first, then of the sources in their order, each by ascending `_id`. */
  members(): Generator<PlannedMember>;
  /** Canonical documents that something is merged into. */
  readonly groups: number;
  /** Documents of the canonical collection that are the same as another one of it. */
  readonly targetDoubles: number;
}

export interface PlanFacts extends Author {
  readonly db: Db;
  readonly signal: AbortSignal;
  /** Collections that the migration makes before: of a look ahead. */
  readonly created?: ReadonlySet<string>;
}

/** Documents read at once. */
const PORTION = { limit: 1_000, maxBytes: 16 * 1024 * 1024 };

/** The collections that a merge reads, as they are now. @throws GodwitError GODWIT_TARGET */
export async function sourcesOf(db: Db, step: MergeStep): Promise<Map<string, ReadFrom>> {
  const sources = new Map<string, ReadFrom>();
  for (const { collection } of step.sources)
    sources.set(collection, { db, collection, uuid: (await requireTarget(db, collection)).uuid });
  return sources;
}

/** An `_id` for a document whose own is taken: the same whenever it is asked for. */
export function derivedId(into: string, from: string, id: unknown): ObjectId {
  const digest = createHash('sha256')
    .update(`godwit/merge\0${into}\0${from}\0${keyOf(id)}`)
    .digest();
  return new ObjectId(digest.subarray(0, 12));
}

/** Ties a source document to the canonical one that names it. */
const noteKey = (collection: unknown, id: unknown): string => hiddenKey(`note/${noteOf(collection, id)}`);

interface Node {
  readonly from: string;
  readonly id: unknown;
  readonly keys: readonly string[] | null;
  /** Number of the canonical document that names it. */
  readonly home: number | undefined;
}

class Planner {
  readonly #grouping = new Grouping();
  readonly #nodes: Node[] = [];
  #targets = 0;
  /** What canonical documents say that they were made of, with their numbers: an earlier merge has settled who that is. */
  readonly #noted = new Map<string, number>();

  constructor(
    private readonly step: MergeStep,
    private readonly facts: PlanFacts,
  ) {}

  async #look(
    from: ReadFrom,
    filter: MergeStep['sources'][number]['filter'],
    keysOf: (documents: readonly StoredDocument[]) => (readonly string[] | null)[],
    notesOf: (document: StoredDocument) => readonly string[] = () => [],
  ): Promise<void> {
    const { signal } = this.facts;
    for (const range of coveringRanges([]))
      for await (const documents of walk(from, range, PORTION, filter)) {
        if (signal.aborted) throw signal.reason;
        const keys = keysOf(documents);
        for (const [at, document] of documents.entries()) {
          const found = keys[at];
          const id = typedId(document);
          const own = found ? [...found, ...notesOf(document)] : null;
          this.#add({ from: from.collection, id, keys: own });
        }
      }
  }

  async plan(): Promise<MergePlan> {
    const { step, facts } = this;
    const { db, created = new Set() } = facts;
    const { uuid } = await requireTargetOrNew(db, step.collection, created);
    const into = { db, collection: step.collection, uuid };
    const sources = await sourcesOf(facts.db, step);
    const noted = (document: StoredDocument) => this.#noteAll(document);
    await this.#look(into, undefined, (documents) => keysOfTargets(step, documents, facts), noted);
    this.#targets = this.#nodes.length;
    this.#requireTargetKeys();
    for (const source of step.sources) {
      const from = sources.get(source.collection) as ReadFrom;
      const keysOf = (documents: readonly StoredDocument[]) =>
        mapSources(step, source, documents, facts).map(({ keys }) => keys);
      await this.#look(from, source.filter, keysOf);
    }
    const canonicals = this.#canonicals();
    const leads = this.#leads();
    return {
      ...{ into, sources, groups: leads.size, targetDoubles: this.#targetDoubles() },
      members: () => this.#members(canonicals, leads),
    };
  }

  /** One that a canonical document names is joined to it, whatever else they have in common. */
  #add({ from, id, keys }: Omit<Node, 'home'>): void {
    const mayBeNamed = this.#noted.size > 0 && from !== this.step.collection;
    const key = mayBeNamed ? noteKey(from, id) : undefined;
    const home = key === undefined ? undefined : this.#noted.get(key);
    const all = keys && home !== undefined && key !== undefined ? [...keys, key] : keys;
    this.#grouping.add(all ?? []);
    this.#nodes.push({ from, id, keys: all, home });
  }

  /** What a canonical document says that it was made of, as keys. */
  #noteAll(document: StoredDocument): string[] {
    const { provenance } = this.step;
    const field = document.fields.find(({ name }) => name === provenance);
    const value = field && typedFields(document, [field])[field.name];
    const notes = Array.isArray(value) ? (value as (Document | null)[]) : [];
    const keys = notes.map((note) => noteKey(note?.['collection'], note?.['id']));
    for (const key of keys) if (!this.#noted.has(key)) this.#noted.set(key, this.#nodes.length);
    return keys;
  }

  /** Of whom nobody can say who they are, everybody would be made a second time. @throws GodwitError */
  #requireTargetKeys(): void {
    const nameless = this.#nodes.filter(({ keys }) => keys === null).length;
    if (nameless === 0) return;
    const { collection } = this.step;
    throw new GodwitError(
      'GODWIT_MIGRATION_BROKEN',
      `wanted every rule of merge().identity to answer for the documents of ${collection}, found that one throws on ${nameless} of them`,
      { next: ['let it return undefined where it does not apply: ({ email }) => email?.toLowerCase()'] },
    );
  }

  /**
   * `_id`s that several source documents have that are not the same: none of them keeps it, since a reference to the one
   * could not be told from one to the other.
   */
  #sharedIds(): Set<string> {
    const leaders = new Map<string, number>();
    const shared = new Set<string>();
    for (let number = this.#targets; number < this.#nodes.length; number += 1) {
      const key = keyOf(this.#nodes[number]?.id);
      const leader = this.#ownerOf(number);
      const other = leaders.get(key);
      if (other === undefined) leaders.set(key, leader);
      else if (other !== leader) shared.add(key);
    }
    return shared;
  }

  /** By the number of the leader of each group. Existing documents keep their `_id`; of the others the least number's stays. */
  #canonicals(): Map<number, unknown> {
    const canonicals = new Map<number, unknown>();
    const shared = this.#sharedIds();
    const taken = new Set(this.#nodes.slice(0, this.#targets).map(({ id }) => keyOf(id)));
    for (const [number, { from, id }] of this.#nodes.entries()) {
      if (this.#grouping.leaderOf(number) !== number) continue;
      const isFree = number < this.#targets || !(taken.has(keyOf(id)) || shared.has(keyOf(id)));
      const canonical = isFree ? id : derivedId(this.step.collection, from, id);
      taken.add(keyOf(canonical));
      canonicals.set(number, canonical);
    }
    return canonicals;
  }

  #targetDoubles(): number {
    const targets = Array.from({ length: this.#targets }, (_, number) => number);
    return targets.filter((number) => this.#grouping.leaderOf(number) !== number).length;
  }

  /** Whose group a source document is in: that of the canonical one that names it, whoever else is the same. */
  #ownerOf(number: number): number {
    return this.#nodes[number]?.home ?? this.#grouping.leaderOf(number);
  }

  /** The first source document of each group. */
  #leads(): Set<number> {
    const [seen, leads] = [new Set<number>(), new Set<number>()];
    for (let number = this.#targets; number < this.#nodes.length; number += 1) {
      const owner = this.#ownerOf(number);
      if (!seen.has(owner)) leads.add(number);
      seen.add(owner);
    }
    return leads;
  }

  *#members(canonicals: ReadonlyMap<number, unknown>, leads: ReadonlySet<number>): Generator<PlannedMember> {
    for (const [order, node] of this.#nodes.entries()) {
      // A document of the canonical collection stays itself, whoever is the same.
      const { home, ...known } = node;
      const own = order < this.#targets ? node : this.#nodes[home ?? -1];
      const canonical = own ? own.id : canonicals.get(this.#grouping.leaderOf(order));
      yield { ...known, canonical, order, ...(leads.has(order) ? { leads: true as const } : {}) };
    }
  }
}

/** @throws GodwitError GODWIT_TARGET */
export const planMerge = (step: MergeStep, facts: PlanFacts): Promise<MergePlan> => new Planner(step, facts).plan();
