/** Before images against the model: I2, I3, I5, and what the change stream must have told. */
import { bytesOf, type Fields, fieldsOf, get, unordered } from '../raw.js';
import { has, isRestore } from '../schedule.js';
import type { Stage } from '../stage.js';
import { type Batch, batchesOf, hashOf } from './audit.js';
import { type Found, migratedSince } from './documents.js';

/** Batches of each run, so that a second run after a rollback is judged for itself. */
export async function checkImages(stage: Stage, found: Found): Promise<void> {
  const all = await batchesOf(stage.db);
  const batches = all.filter(({ step }) => isOfDocuments(stage, step));
  for (const run of new Set(batches.map((batch) => batch.run)))
    checkRun(
      stage,
      batches.filter((batch) => batch.run === run),
    );
  // What the restored state does not know any more has its images in no audit.
  if (!stage.schedule.faults.some(isRestore)) checkAudited(stage, batches, found);
  await checkAlone(stage, all);
}

/** The first step of a chain changes what is looked up. */
const isOfDocuments = ({ schedule }: Stage, step: number): boolean => !schedule.migration.isChain || step === 1;

/** A migration that looks up what the application has edited meanwhile. */
const isOfEdited = ({ schedule, model }: Stage): boolean => schedule.migration.lookup && model.teams.isEdited;

function checkRun(stage: Stage, batches: readonly Batch[]): void {
  const seen = new Set<string>();
  for (const { id, entries } of batches)
    for (const { key, before, hash } of entries) {
      const version = `${key}/${before.toString('base64')}`;
      // Of a team that was called so before, it is rightly taken again.
      if (seen.has(version) && !isOfEdited(stage))
        stage.violate('I3', `${key} to be taken once`, `twice, again in ${id}`);
      seen.add(version);
      const document = stage.model.documents.get(key);
      if (!document || document.isWritten || document.isUncertain || !document.fields) continue;
      const made = migratedSince(stage, document.fields, 0);
      if (made === 'any') continue;
      // It went through again when its team was edited.
      const known = isOfEdited(stage) ? [document.fields, ...made] : [document.fields];
      if (!known.some((fields) => before.equals(bytesOf(fields))))
        stage.violate('I2', `the before image of ${key} as the document was`, before.toString('hex').slice(0, 80));
      if (!made.some((fields) => hash === hashOf(fields)))
        stage.violate('I5', `the hash of ${key} that of its migrated document`, hash);
    }
}

/** I2: whatever differs from the initial copy, and was not written by the application, has an entry. */
function checkAudited(stage: Stage, batches: readonly Batch[], found: Found): void {
  const audited = new Set(batches.flatMap(({ entries }) => entries.map(({ key }) => key)));
  for (const { key, fields, isWritten } of stage.model.documents.values()) {
    const now = found.get(key);
    if (isWritten || !fields || !now || now.equals(bytesOf(fields))) continue;
    if (!audited.has(key)) stage.violate('I2', `an audit entry of ${key}`, 'none');
  }
}

/** I5, without load: nothing was seen in the change stream, since all that was written is Godwit's own. */
async function checkAlone(stage: Stage, batches: readonly Batch[]): Promise<void> {
  const { schedule, db } = stage;
  const isEdited = has(schedule, 'state', 'ddl', 'edit');
  if (schedule.load.kind !== 'none' || isEdited) return;
  const touched = await db.collection('migrations_touched').countDocuments();
  if (touched > 0) stage.violate('I5', 'no document touched by anyone but Godwit', touched);
  // Who left quarantine by a retry went through it, and so does one that is asked for behind the cursor.
  if (has(schedule, 'hang', 'retry', 'only')) return;
  const late = batches.filter(({ chunk }) => chunk.endsWith('/-1'));
  if (late.length > 0) stage.violate('I5', 'nothing to catch up with', late.map(({ id }) => id).join(' '));
}

/** When, by the server's clock, the stream of the current run has begun to tell, and has told everything. */
interface Told {
  readonly from: number;
  readonly to: number;
}

/** I8's ground: what was inserted while the run went on is on record, or a rollback would take it for older. */
export async function checkInserts(stage: Stage, { from, to }: Told, isStreamLost: boolean): Promise<void> {
  const { db, model, schedule } = stage;
  if (isStreamLost || has(schedule, 'rollback') || schedule.faults.some(isRestore)) return;
  const raw = await db.collection('migrations_touched').find({ inserted: true }, { raw: true }).toArray();
  const known = new Set(raw.map((bytes) => get(fieldsOf(bytes as unknown as Uint8Array), 'id')?.toString('hex')));
  for (const { key, isInserted, isUncertain, sentAt, shapedAt, fields } of model.documents.values())
    if (isInserted && !isUncertain && fields && sentAt > from && shapedAt < to && !known.has(key))
      stage.violate('I8', `${key}, inserted while the run went on, on record as such`, 'that it is not');
}

/**
 * I8: a document that was inserted in the new shape while the run went on, or since, has no before image; the rollback
 * must say so, or take it back by `down`.
 */
export function checkNewcomers(stage: Stage, json: Record<string, unknown>, from: number): void {
  if (json['insertsKnown'] !== true) return;
  const inserted = stage.model.living().filter(({ isInserted, isUncertain, sentAt, fields }) => {
    return isInserted && !isUncertain && sentAt > from && fields && isNewShape(stage, fields);
  });
  const told = Number(json['noBefore']) + Number(json['byDown']);
  if (told < inserted.length)
    stage.violate('I8', `at least ${inserted.length} documents without a before image`, `${told}`);
}

/** Whatever its team is called by now: then it went through, and has a before image. */
function isNewShape(stage: Stage, fields: Fields): boolean {
  const made = migratedSince(stage, fields, 0);
  return made !== 'any' && made.every((one) => unordered(one) === unordered(fields));
}
