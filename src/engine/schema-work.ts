/**
 * Carries schema steps out, and takes them back. None of them is part of a transaction, so each is written down before
 * it is begun, with what was there, and again when it is done; a runner that dies in between is followed by one that
 * looks which of the two it has met.
 */
import { Binary, type Document } from 'bson';
import type { SchemaRecord } from '../domain/run.js';
import { describeOperation, droppedFrom, type SchemaOperation } from '../domain/schema-operation.js';
import { GodwitError } from '../errors.js';
import { formatDuration, formatShare } from '../kernel/units.js';
import { storeSchema } from '../mongo/runs.js';
import {
  buildIndex,
  createCollection,
  dropEmpty,
  dropIndex,
  packed,
  readBuild,
  readCollection,
  rename,
  setValidator,
} from '../mongo/schema.js';
import { hasIndex, hasValidator, isCarriedOut, lookAt, refusalOf, wantedValidator } from '../mongo/schema-look.js';
import { classifyBatchError, isDuplicateKey, isNetworkError, translateServerError } from '../mongo/server-errors.js';
import { leaseLost } from './doubt.js';
import { faultPoint } from './fault-points.js';
import { patiently } from './patiently.js';
import type { RunContext } from './run-context.js';
import { beforeOf, NOTHING, refusedStep } from './schema-records.js';
import type { RunFacts } from './with-lease.js';

/** How often the build of an index is looked at, in ms. */
const BUILD_LOOK_MS = 5_000;

export class SchemaWork {
  readonly #records: SchemaRecord[];
  readonly #operations: readonly SchemaOperation[];

  constructor(
    { loaded }: Pick<RunFacts, 'loaded'>,
    private readonly context: RunContext,
  ) {
    this.#records = [...(context.run.schema ?? [])];
    this.#operations = loaded.schema.map(({ step }) => step.operation);
  }

  /** Those at this place, in their order. */
  #at(at: number): number[] {
    return this.#records.flatMap((record, index) => (record.at === at ? [index] : []));
  }

  /** True when something is to be done at this place. */
  isOpen(at: number): boolean {
    return this.#at(at).some((index) => ['open', 'begun'].includes(this.#records[index]?.state ?? ''));
  }

  /** Does what is not done at this place. @throws GodwitError GODWIT_SCHEMA when the database is not as it must be */
  async forwards(at: number): Promise<void> {
    await patiently(this.context, () => this.#lookAhead(at));
    for (const index of this.#at(at)) {
      if (this.context.signal.aborted) throw this.context.signal.reason;
      await patiently(this.context, () => this.#do(index));
    }
  }

  /**
   * An index that is dropped for another one stays where that cannot be built.
   *
   * @throws GodwitError GODWIT_SCHEMA
   */
  async #lookAhead(at: number): Promise<void> {
    const open = this.#at(at).filter((index) => this.#records[index]?.state === 'open');
    const operations = open.map((index) => this.#of(index).operation);
    const isMade = ({ collection }: SchemaOperation): boolean =>
      operations.some((other) => other.kind === 'createCollection' && other.collection === collection);
    for (const operation of operations) {
      const gone = droppedFrom(operation.collection, operations);
      if (operation.kind !== 'createIndex' || gone.size === 0 || isMade(operation)) continue;
      const outlook = await lookAt(this.context.db, operation, gone);
      if (outlook.refusal !== null) throw refusedStep(operation, refusalOf(operation, outlook), this.context);
    }
  }

  /** Takes back what was done at this place, the last one first. */
  async backwards(at: number): Promise<void> {
    for (const index of this.#at(at).reverse()) {
      if (this.context.signal.aborted) throw this.context.signal.reason;
      await patiently(this.context, () => this.#undo(index));
    }
  }

  #of(index: number): { readonly record: SchemaRecord; readonly operation: SchemaOperation } {
    const record = this.#records[index];
    const operation = this.#operations[index];
    if (!record || !operation || operation.kind !== record.kind)
      throw new GodwitError(
        'GODWIT_CHECKSUM',
        `wanted schema step ${index + 1} of the plan in the migration, found none`,
      );
    return { record, operation };
  }

  async #store(index: number, change: Partial<SchemaRecord>): Promise<void> {
    const { state, run, fence } = this.context;
    const record = { ...this.#of(index).record, ...change };
    if (!(await storeSchema(state, run._id, fence, index, record))) throw leaseLost(run.migration);
    this.#records[index] = record;
  }

  #note(note: string): void {
    this.context.events.emit('run:note', { run: this.context.run._id, note });
  }

  async #do(index: number): Promise<void> {
    const { db } = this.context;
    const { record, operation } = this.#of(index);
    if (record.state !== 'open' && record.state !== 'begun') return;
    if (record.state === 'open') {
      const outlook = await lookAt(db, operation);
      if (outlook.isThere) return this.#store(index, { state: 'there', before: NOTHING });
      if (outlook.refusal !== null) throw refusedStep(operation, refusalOf(operation, outlook), this.context);
      for (const warning of outlook.warnings) this.#note(warning);
      await this.#store(index, { state: 'begun', before: new Binary(packed(outlook.before)) });
    }
    await faultPoint('schema:before-change');
    const startedAt = performance.now();
    if (!(await this.#isDone(operation, this.#before(index)))) await this.#tryOut(operation);
    await faultPoint('schema:after-change');
    const after = operation.kind === 'createCollection' ? await this.#created(operation.collection) : {};
    await this.#store(index, { state: 'done', wasDone: true, ...after });
    this.#note(`done: ${record.text} (${formatDuration(performance.now() - startedAt)})`);
  }

  /** What tells it from another collection of its name, on the way back. */
  async #created(collection: string): Promise<Partial<SchemaRecord>> {
    const there = await readCollection(this.context.db, collection);
    return { before: new Binary(packed({ uuid: there?.uuid ?? '' })) };
  }

  #before(index: number): Document {
    return beforeOf(this.#of(index).record);
  }

  #isDone(operation: SchemaOperation, before: Document): Promise<boolean> {
    return isCarriedOut(this.context.db, operation, before);
  }

  /** What the server refuses for good is the step's fault, and said as such. */
  async #tryOut(operation: SchemaOperation): Promise<void> {
    try {
      await this.#carryOut(operation);
    } catch (error) {
      const known = translateServerError(error);
      if (known.code !== 'GODWIT_UNEXPECTED' || classifyBatchError(error) === 'interrupted') throw error;
      const text = `wanted to ${describeOperation(operation)}, found that the server refuses it: ${known.message}`;
      throw refusedStep(operation, text, this.context);
    }
  }

  async #carryOut(operation: SchemaOperation): Promise<void> {
    const { db } = this.context;
    const { collection } = operation;
    switch (operation.kind) {
      case 'createCollection':
        return createCollection(db, operation);
      case 'renameCollection':
        return rename(db, collection, operation.to);
      case 'createIndex':
        return this.#build(collection, { ...operation.options, key: operation.key, name: operation.name }, operation);
      case 'dropIndex':
        return dropIndex(db, collection, operation.name);
      default:
        return setValidator(db, collection, wantedValidator(operation));
    }
  }

  /** Says how far it is, for as long as it takes. */
  async #build(collection: string, definition: Document, operation: SchemaOperation): Promise<void> {
    const { client, db } = this.context;
    const name = String(definition['name']);
    const timer = setInterval(async () => {
      const build = await readBuild(client, `${db.databaseName}.${collection}`, name);
      if (build) this.#note(`building the index ${name}: ${formatShare(build.done, build.total)}`);
    }, BUILD_LOOK_MS);
    try {
      await this.#built(collection, definition);
    } catch (error) {
      if (!isDuplicateKey(error)) throw error;
      const outlook = await lookAt(db, operation);
      const found = outlook.refusal ?? 'found that two documents had one key while it was built';
      throw refusedStep(operation, refusalOf(operation, { ...outlook, refusal: found }), this.context);
    } finally {
      clearInterval(timer);
    }
  }

  /** A build outlasts the time-out of a connection: asked for again, the server goes on with the one under way. */
  async #built(collection: string, definition: Document): Promise<void> {
    const { client, db, signal } = this.context;
    const namespace = `${db.databaseName}.${collection}`;
    for (;;) {
      try {
        return await buildIndex(db, collection, definition);
      } catch (error) {
        const goesOn =
          isNetworkError(error) && (await readBuild(client, namespace, String(definition['name']))) !== null;
        if (!goesOn || signal.aborted) throw error;
      }
    }
  }

  async #undo(index: number): Promise<void> {
    const { record, operation } = this.#of(index);
    // What was left once is looked at again: what was in its way may be gone.
    if (!['begun', 'done', 'undoing'].includes(record.state) && record.left === null) return;
    const before = this.#before(index);
    if (record.state === 'begun' && !(await this.#isDone(operation, before)))
      return this.#store(index, { state: 'undone' });
    if (record.state !== 'undoing') await this.#store(index, { state: 'undoing', wasDone: true, left: null });
    await faultPoint('schema:before-undo');
    const left = await this.#takeBack(operation, before);
    await faultPoint('schema:after-undo');
    await this.#store(index, { state: 'undone', left });
    this.#note(left === null ? `taken back: ${record.text}` : `left as it is: ${record.text}: ${left}`);
  }

  /** @returns why it is left as it is; null when it is back */
  async #takeBack(operation: SchemaOperation, before: Document): Promise<string | null> {
    switch (operation.kind) {
      case 'createCollection':
        return this.#uncreate(operation.collection, String(before['uuid'] ?? ''));
      case 'renameCollection':
        return this.#renameBack(operation, String(before['uuid']));
      case 'createIndex':
        if (await hasIndex(this.context.db, operation.collection, operation.name))
          await dropIndex(this.context.db, operation.collection, operation.name);
        return null;
      case 'dropIndex':
        return this.#rebuild(operation.collection, before, operation);
      default:
        return this.#validatorBack(operation.collection, wantedValidator(operation), before);
    }
  }

  async #uncreate(collection: string, uuid: string): Promise<string | null> {
    const { db, run } = this.context;
    const there = await readCollection(db, collection);
    if (there && uuid !== '' && there.uuid !== uuid) return 'another collection has its name by now';
    const aside = `${collection}_godwit_${run._id}`;
    if (!there && !(await readCollection(db, aside))) return null;
    return (await dropEmpty(db, collection, aside)) ? null : 'it holds documents';
  }

  async #renameBack({ collection, to }: Extract<SchemaOperation, { kind: 'renameCollection' }>, uuid: string) {
    const { db } = this.context;
    const old = await readCollection(db, collection);
    if (old?.uuid === uuid) return null;
    if (old) return `there is another collection ${collection} by now`;
    if ((await readCollection(db, to))?.uuid !== uuid) return `${to} is gone, or another collection by now`;
    await rename(db, to, collection);
    return null;
  }

  async #rebuild(collection: string, definition: Document, operation: SchemaOperation): Promise<string | null> {
    if (await hasIndex(this.context.db, collection, String(definition['name']))) return null;
    try {
      await this.#build(collection, definition, operation);
      return null;
    } catch (error) {
      const known = translateServerError(error);
      if (known.code !== 'GODWIT_SCHEMA') throw error;
      return 'documents share a key of it by now';
    }
  }

  async #validatorBack(collection: string, ours: Document, before: Document): Promise<string | null> {
    if (await hasValidator(this.context.db, collection, before)) return null;
    if (!(await hasValidator(this.context.db, collection, ours))) return 'somebody has set another one since';
    await setValidator(this.context.db, collection, before);
    return null;
  }
}
