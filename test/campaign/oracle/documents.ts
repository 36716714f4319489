/** The documents after a schedule, against the model: I3 to I6 and I8, I14, I17. */
import type { Db } from 'mongodb';
import { mayFail } from '../allowed.js';
import { COLLECTION, fails, LOOKED_UP, migrated } from '../migration.js';
import type { ModelDocument } from '../model.js';
import { bytesOf, type Fields, fieldsOf, get, keyOf, unordered } from '../raw.js';
import { has } from '../schedule.js';
import { frameOf, type Stage } from '../stage.js';
import type { Team } from '../teams.js';

export type Found = ReadonlyMap<string, Buffer>;

export async function foundIn(db: Db, collection = COLLECTION): Promise<Found> {
  const raw = await db.collection(collection).find({}, { raw: true }).toArray();
  return new Map(raw.map((bytes) => [keyOf(fieldsOf(bytes as unknown as Uint8Array)), bytes as unknown as Buffer]));
}

const shown = (bytes: Buffer | undefined): string =>
  bytes === undefined
    ? 'none'
    : fieldsOf(bytes)
        .map(({ name, value }) => `${name}:${short(value)}`)
        .join(' ');
const short = (value: Buffer): string => value.toString('hex').slice(0, 40);

/**
 * I4 holds for writes that a majority has acknowledged: with `w: 1` a server that is killed may lose what its journal
 * had not yet.
 */
export const areWritesKept = ({ schedule }: Stage): boolean =>
  schedule.load.w === 'majority' || !has(schedule, 'restart');

/** How a document must be: exactly, in whatever order, only the application's own fields, or not to be told. */
type Wanted = { readonly how: 'exact' | 'unordered' | 'own'; readonly fields: Fields } | { readonly how: 'any' };

function compare(
  stage: Stage,
  invariant: string,
  document: ModelDocument,
  found: Found,
  wanted: readonly Wanted[],
): void {
  const bytes = found.get(document.key);
  if (wanted.some(({ how }) => how === 'any')) return;
  const matches = wanted.some((one) => one.how !== 'any' && bytes && isAs(one, bytes));
  const [first] = wanted;
  if (!matches)
    stage.violate(
      invariant,
      `${document.key} to be ${first && first.how !== 'any' ? shown(bytesOf(first.fields)) : '?'}`,
      shown(bytes),
    );
}

function isAs({ how, fields }: Exclude<Wanted, { how: 'any' }>, bytes: Buffer): boolean {
  if (how === 'exact') return bytes.equals(bytesOf(fields));
  const found = fieldsOf(bytes);
  if (how === 'unordered') return unordered(found) === unordered(fields);
  return ['n', 'e'].every((name) => get(found, name)?.toString('hex') === get(fields, name)?.toString('hex'));
}

/** What the migration makes of a document that it met at `moment` or since: another one for each name of its team. */
export function migratedSince({ schedule, model }: Stage, fields: Fields, moment: number): readonly Fields[] | 'any' {
  const { lookup, isChain } = schedule.migration;
  // Between an edit and the first step's answer to it the second one may meet any title.
  if (isChain && model.teams.isEditedSince(moment)) return 'any';
  const names = lookup ? model.teams.namesSince(fields, moment) : [null];
  return names === 'any' ? names : names.map((name) => migrated(schedule, fields, name));
}

/** The same, as what a document must be. */
function wantedSince(stage: Stage, fields: Fields, moment: number, how: 'exact' | 'unordered'): Wanted[] {
  const made = migratedSince(stage, fields, moment);
  return made === 'any' ? [{ how: made }] : made.map((one): Wanted => ({ how, fields: one }));
}

/** Documents of the model, and none but them: deleted ones are not back, none is gone. */
function checkPresence(stage: Stage, found: Found): void {
  const { model } = stage;
  if (!areWritesKept(stage)) return;
  for (const { key, fields, isUncertain } of model.documents.values())
    if (!isUncertain && (fields !== null) !== found.has(key))
      stage.violate(
        'I4',
        `${key} ${fields ? 'to be there' : 'to stay deleted'}`,
        fields ? 'that it is gone' : 'that it is back',
      );
  for (const key of found.keys())
    if (!model.documents.has(key)) stage.violate('I14', 'no document that nobody inserted', key);
}

/** A completed run: every document as the migration makes it of what the application wrote (I4, I5, I6). */
export function checkDone(stage: Stage, found: Found, verifyingAt: number): void {
  checkPresence(stage, found);
  if (!areWritesKept(stage)) return;
  for (const document of stage.model.documents.values()) {
    const { fields, isUncertain, isWritten, shapedAt } = document;
    if (isUncertain || fields === null) continue;
    const how = isWritten ? 'unordered' : 'exact';
    const isFailed = fails(stage.schedule, fields);
    const wanted: Wanted[] = [];
    if (isFailed !== 'yes') wanted.push(...wantedSince(stage, fields, verifyingAt, how));
    if (isFailed !== 'no') wanted.push({ how, fields });
    // What the application gave its whole shape after the last look is after the run.
    if (shapedAt >= verifyingAt) wanted.push({ how: 'own', fields });
    compare(stage, isWritten ? 'I4' : 'I5', document, found, wanted);
  }
}

/** A run that is rolled back: as the application alone would have left it (I8). */
export function checkBack(stage: Stage, found: Found): void {
  checkPresence(stage, found);
  if (!areWritesKept(stage)) return;
  for (const document of stage.model.documents.values()) {
    const { fields, isUncertain, isWritten, shapedAt } = document;
    if (isUncertain || fields === null) continue;
    // Inserted or saved in either shape meanwhile: the rollback table leaves much to the document's own history.
    const how = shapedAt > 0 ? 'own' : isWritten ? 'unordered' : 'exact';
    compare(stage, 'I8', document, found, [{ how, fields }]);
  }
}

/** A run that was left in the middle: no document is anything but as before or as after. */
export function checkBetween(stage: Stage, found: Found): void {
  for (const document of stage.model.documents.values()) {
    const { fields, isUncertain, isWritten } = document;
    if (isUncertain || isWritten || fields === null) continue;
    compare(stage, 'I5', document, found, [{ how: 'exact', fields }, ...wantedSince(stage, fields, 0, 'exact')]);
  }
}

async function checkTeams(stage: Stage): Promise<void> {
  const { teams } = stage.model;
  const found = await stage.db.collection<Team>(LOOKED_UP).find().sort({ _id: 1 }).toArray();
  const isAsKnown =
    found.length === teams.there.size && found.every((team) => isSameTeam(team, teams.there.get(team._id)));
  if (!isAsKnown && !teams.isUncertain)
    stage.violate('I14', `the teams ${JSON.stringify([...teams.there.values()])}`, JSON.stringify(found));
}

const isSameTeam = (team: Team, known: Team | undefined): boolean =>
  team.code === known?.code && team.name === known.name;

/** I14: the collection itself, its neighbours, and the names of Godwit's own. */
export async function checkNeighbours(stage: Stage): Promise<void> {
  const { db, schedule } = stage;
  // An operator's own DDL is part of these schedules.
  if (!has(schedule, 'ddl')) {
    const frame = await frameOf(db);
    if (frame !== stage.frame) stage.violate('I14', stage.frame, frame);
  }
  await checkTeams(stage);
  const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
  const strange = names.filter(
    (name) => !/^(things(_old)?|teams|migrations(_(chunks|audit|failures|touched))?)$/.test(name),
  );
  if (strange.length > 0) stage.violate('I14', 'no other collections', strange.join(' '));
}

/** Whose `up` hung once is in quarantine whatever it is like. */
const NOT_HUNG = { code: { $ne: 'GODWIT_TRANSFORM_TIMEOUT' } };

/** I17: each failed document once, with its bytes as they are, and no other. */
export async function checkQuarantine(stage: Stage, found: Found): Promise<void> {
  const { db, schedule, model } = stage;
  // Which of two documents a unique index refuses is the workers' order: an earlier run may have met the other one.
  const run = await db.collection('migrations').findOne({ current: true });
  const stored = await db
    .collection('migrations_failures')
    .find({ run: run ? String(run._id) : '', ...(has(schedule, 'hang') ? NOT_HUNG : {}) }, { raw: true })
    .toArray();
  const seen = new Set<string>();
  for (const raw of stored) {
    const entry = fieldsOf(raw as unknown as Uint8Array);
    const key = get(entry, 'documentId')?.toString('hex') ?? '';
    const document = model.documents.get(key);
    if (seen.has(key)) stage.violate('I17', `${key} once in quarantine`, 'twice');
    seen.add(key);
    if (!mayFail(schedule) || !document?.fields || fails(schedule, document.fields) === 'no') {
      if (!document?.isWritten)
        stage.violate('I17', `${key} not in quarantine`, shown(raw as unknown as Buffer).slice(0, 300));
      continue;
    }
    const image = get(entry, 'image')?.subarray(6);
    const now = found.get(key);
    if (!document.isWritten && now && image && !image.equals(now))
      stage.violate('I17', `${key} in the target as in quarantine`, shown(now));
  }
}

/** I17, other half: what must fail is there, once the run is completed. */
export async function checkAllFailed(stage: Stage, failed: readonly string[]): Promise<void> {
  for (const { key, fields, isWritten } of stage.model.documents.values())
    if (!isWritten && fields && fails(stage.schedule, fields) === 'yes' && !failed.includes(key))
      stage.violate('I17', `${key} in quarantine`, 'that it is not');
}
