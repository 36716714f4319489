/**
 * Source documents that came, changed or went while a merge goes on: each is given its canonical document, in a
 * transaction that a runner without the lease cannot commit. One after the other: two that share a key meet.
 */
import type { ClientSession } from 'mongodb';
import type { MergeStep } from '../domain/merge-step.js';
import { typedId } from '../domain/stored-document.js';
import { idsChunk, touchFence } from '../mongo/chunks.js';
import { type IdMapRow, readByKeys, readMembers, readRows } from '../mongo/id-map.js';
import { insertRows, storeKeys } from '../mongo/id-map-writes.js';
import { keyOf } from '../mongo/lookups.js';
import { readByIds } from '../mongo/read-batch.js';
import { inTransaction } from '../mongo/transaction.js';
import { leaseLost } from './doubt.js';
import { Effort } from './effort.js';
import { keysOfTargets, mapSources } from './map-sources.js';
import { derivedId } from './merge-plan.js';
import { authorOf, rowsOf } from './merge-source.js';
import { commitPatience, readFrom, type StepContext } from './run-context.js';

/** A document that was written: of a source, or of the canonical collection itself. */
export interface Written {
  /** Absent: the canonical collection. */
  readonly from?: string;
  readonly id: unknown;
}

/** The place of those that came after the plan: behind all others, in the order of their rows. */
const LATE = 2 ** 40;

/** A document with what it has in common with others now. */
interface Found {
  readonly from: string;
  readonly id: unknown;
  readonly keys: readonly string[] | null;
}

const isSame = (a: readonly string[] | null, b: readonly string[] | null): boolean =>
  a === null || b === null ? a === b : a.length === b.length && a.every((key, at) => key === b[at]);

class Assignment {
  readonly #canonicals = new Map<string, unknown>();

  constructor(
    private readonly context: StepContext,
    private readonly step: MergeStep,
    private readonly session: ClientSession,
  ) {}

  /** @returns `_id`s of the canonical documents that are to be looked at */
  async all(written: readonly Written[]): Promise<unknown[]> {
    const { step } = this;
    const idsIn = (name: string | undefined) => written.filter(({ from }) => from === name).map(({ id }) => id);
    await this.#targets(idsIn(undefined));
    for (const { collection } of step.sources) await this.#sources(collection, idsIn(collection));
    return [...this.#canonicals.values()];
  }

  #take(canonical: unknown): void {
    this.#canonicals.set(keyOf(canonical), canonical);
  }

  /** Documents that the application inserted into the canonical collection are somebody, too. */
  async #targets(ids: readonly unknown[]): Promise<void> {
    if (ids.length === 0) return;
    const { context, step } = this;
    const documents = await readByIds(readFrom(context), ids, { session: this.session });
    const rows = await this.#rows(step.collection, ids);
    const keys = keysOfTargets(step, documents, authorOf(context));
    for (const [at, document] of documents.entries()) {
      const id = typedId(document);
      this.#take(id);
      if (!rows.has(document.key)) await this.#insert({ from: step.collection, id, keys: keys[at] ?? null }, id);
    }
  }

  async #sources(collection: string, ids: readonly unknown[]): Promise<void> {
    const from = this.context.sources.get(collection);
    const source = this.step.sources.find((one) => one.collection === collection);
    if (!from || !source || ids.length === 0) return;
    const rows = await this.#rows(collection, ids);
    // Whatever became of it, its canonical document is looked at.
    for (const { canonical } of rows.values()) this.#take(canonical);
    const documents = await readByIds(from, ids, {
      session: this.session,
      ...(source.filter ? { filter: source.filter } : {}),
    });
    const mapped = mapSources(this.step, source, documents, authorOf(this.context));
    for (const [at, document] of documents.entries()) {
      const found = { from: collection, id: typedId(document), keys: mapped[at]?.keys ?? null };
      const row = rows.get(document.key);
      if (row) await this.#known(row, found);
      else await this.#unknown(found);
    }
  }

  #rows(from: string, ids: readonly unknown[]): Promise<Map<string, IdMapRow>> {
    return readRows(this.context.state, rowsOf(this.context), from, ids, this.session);
  }

  /** It stays where it is, whatever it has in common with others by now; unless nobody could tell before. */
  async #known(row: IdMapRow, found: Found): Promise<void> {
    if (isSame(row.keys, found.keys) || found.keys === null) return;
    const other = row.keys === null && !row.merged ? await this.#match(found.keys) : undefined;
    const canonical = other ? other.canonical : row.canonical;
    await storeKeys(this.context.state, row._id, { keys: found.keys, canonical }, this.session);
    this.#take(canonical);
  }

  async #unknown(found: Found): Promise<void> {
    const other = await this.#match(found.keys ?? []);
    const canonical = other ? other.canonical : await this.#newId(found);
    await this.#insert(found, canonical);
    this.#take(canonical);
  }

  /** Who is the same: of several the first in the plan. */
  async #match(keys: readonly string[]): Promise<IdMapRow | undefined> {
    if (keys.length === 0) return undefined;
    const [first] = await readByKeys(this.context.state, rowsOf(this.context), keys, this.session);
    return first;
  }

  async #newId({ from, id }: Found): Promise<unknown> {
    const { context, step, session } = this;
    const there = await readByIds(readFrom(context), [id], { session });
    const given = await readMembers(context.state, rowsOf(context), [id], session);
    const isTaken = there.length + given.length > 0 || (await this.#isElsewhere(from, id));
    return isTaken ? derivedId(step.collection, from, id) : id;
  }

  /** A document of another source has it, and is somebody else. */
  async #isElsewhere(from: string, id: unknown): Promise<boolean> {
    for (const { collection } of this.step.sources)
      if (collection !== from && (await this.#rows(collection, [id])).size > 0) return true;
    return false;
  }

  async #insert(found: Found, canonical: unknown): Promise<void> {
    const row = { ...found, into: this.step.collection, canonical, order: LATE, planned: false };
    await insertRows(this.context.state, rowsOf(this.context), [row], this.session);
  }
}

/** @returns `_id`s of the canonical documents that these belong to now, once each */
export async function assignSources(
  context: StepContext,
  step: MergeStep,
  written: readonly Written[],
  session: ClientSession,
): Promise<unknown[]> {
  const { state, run, stepIndex, fence, settings } = context;
  const chunk = await idsChunk(state, run._id, stepIndex, 'late', fence);
  const effort = new Effort(1, { ...settings, target: context.target });
  for (;;) {
    try {
      return await inTransaction(
        session,
        async () => {
          if (!(await touchFence(state, chunk._id, fence, session))) throw leaseLost(run.migration);
          return new Assignment(context, step, session).all(written);
        },
        commitPatience(context),
      );
    } catch (error) {
      await effort.after(error, context.signal, commitPatience(context).note);
      if (context.signal.aborted) throw context.signal.reason;
    }
  }
}
