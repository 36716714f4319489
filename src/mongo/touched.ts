/**
 * The `migrations_touched` collection: `_id`s that the application wrote during a run, until they are through. Those
 * that it inserted stay on record: a rollback must not take them for documents that were there before the run.
 */
import { createHash } from 'node:crypto';
import { ObjectId } from 'mongodb';
import { keyOf } from '../domain/stored-document.js';
import { STATE_FORMAT, type State, underLease } from './state.js';

export interface TouchedDocument {
  readonly _id: string;
  readonly godwit: number;
  readonly run: string;
  readonly step: number;
  /** The document's `_id`, exactly. */
  readonly id: unknown;
  /** The collection, where it is a source of a merge. */
  readonly from?: string;
  /** New with each touch, in whatever runner: an entry is removed only when nothing came in between. */
  readonly touch: ObjectId;
  /** The application inserted it while the run went on. */
  readonly inserted: boolean;
  readonly through: boolean;
}

export interface Touch {
  readonly step: number;
  readonly id: unknown;
  /** The collection, where it is not that of the step. */
  readonly from?: string;
  readonly isInsert: boolean;
}

function touchedId(run: string, { step, id, from }: Touch): string {
  const text = from === undefined ? keyOf(id) : `${from}\0${keyOf(id)}`;
  const digest = createHash('sha256').update(text).digest('hex');
  return `${run}/${step}/${digest.slice(0, 32)}`;
}

/** Stores them, durably, before the stream's token moves on. */
export async function storeTouched(state: State, run: string, touches: readonly Touch[]): Promise<void> {
  if (touches.length === 0) return;
  await state.touched.bulkWrite(
    touches.map((touch) => ({
      updateOne: {
        filter: { _id: touchedId(run, touch) },
        update: {
          $setOnInsert: {
            godwit: STATE_FORMAT,
            run,
            step: touch.step,
            id: touch.id,
            ...(touch.from === undefined ? {} : { from: touch.from }),
            ...(touch.isInsert ? {} : { inserted: false }),
          },
          $set: { touch: new ObjectId(), through: false, ...(touch.isInsert ? { inserted: true } : {}) },
        },
        upsert: true,
      },
    })),
    { ordered: false },
  );
}

/** The next entries of a step that are not through, after `after`, in the order of their keys. */
export function listTouched(
  state: State,
  run: string,
  step: number,
  after: string,
  limit: number,
): Promise<TouchedDocument[]> {
  return state.touched
    .find({ run, step, through: false, _id: { $gt: after } }, { promoteValues: false })
    .sort({ _id: 1 })
    .limit(limit)
    .toArray();
}

/** Settles entries whose documents are through, but for those that were touched again meanwhile. */
export async function settleTouched(state: State, entries: readonly TouchedDocument[]): Promise<void> {
  if (entries.length === 0) return;
  await state.touched.bulkWrite(
    entries.map(({ _id, touch, inserted }) => {
      const filter = { _id: String(_id), touch };
      return inserted ? { updateOne: { filter, update: { $set: { through: true } } } } : { deleteOne: { filter } };
    }),
    { ordered: false },
  );
}

/** Keys of the documents that the application inserted while the run went on, as far as its stream has told. */
export async function insertedKeys(state: State, run: string, step: number): Promise<Set<string>> {
  const keys = new Set<string>();
  const inserted = state.touched.find({ run, step, inserted: true }, { promoteValues: false, projection: { id: 1 } });
  for await (const { id } of inserted) keys.add(keyOf(id));
  return keys;
}

/** Which of a run's two streams: that of the run, or that of its rollback. */
export type Stream = 'stream' | 'undoStream';

/** Keeps the stream's place, where the lease is ours. */
export async function storeToken(
  state: State,
  run: string,
  fence: string,
  stream: Stream,
  token: unknown,
): Promise<void> {
  await state.runs.updateOne(underLease(run, fence), { $set: { [`${stream}.token`]: token } } as object);
}

/** What a rollback has to know of a stream, and who reads on. */
export type StreamFact = 'isLost' | 'hasUnknownDependants';

/** What stays true of the stream, whoever reads on. */
export async function storeStreamFact(
  state: State,
  run: string,
  fence: string,
  stream: Stream,
  fact: StreamFact,
): Promise<void> {
  await state.runs.updateOne(underLease(run, fence), { $set: { [`${stream}.${fact}`]: true } } as object);
}
