/** Plays one schedule of a merge, and holds what became of everybody against who they are. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Db, type Document, ObjectId } from 'mongodb';
import { brokenInvariants, until } from '../../support/crash.js';
import { brokenHistory, brokenSums } from '../../support/observe.js';
import { finished, startCommand } from '../../support/process.js';
import { hashOf } from '../../support/scratch.js';
import { type Dice, diceFrom } from '../dice.js';
import { patient } from '../patience.js';
import type { CampaignServer } from '../server.js';
import { type Drawn, type MergeFault, type MergeSchedule, SOURCES, type Source } from './schedule.js';

export interface PlayedMerge {
  readonly schedule: MergeSchedule;
  readonly violations: readonly string[];
  readonly timeline: readonly string[];
  readonly seconds: number;
}

/** A source document as the application knows it. */
interface Known extends Drawn {
  readonly id: unknown;
  n: number;
  isDeleted: boolean;
}

interface Stage {
  readonly schedule: MergeSchedule;
  readonly db: Db;
  readonly at: { readonly uri: string; readonly cwd: string; readonly main: string };
  readonly known: Known[];
  readonly violations: string[];
  readonly timeline: string[];
}

const HANGS_MS = 120_000;
const MAX_STARTS = 12;
/** A run is planned within this time, in ms. */
const PLANNED_MS = 120_000;
/** A runner goes on following for so long once the application rests, in ms. */
const FOLLOWS_MS = 500;

const sourceOf = ({ onConflict, legacy }: MergeSchedule): string => `import { defineMigration, merge } from 'godwit';
const map = ({ mail, phone, no, n, name }) => ({
  ...(mail === undefined ? {} : { email: mail.toLowerCase() }),
  ...(phone === undefined ? {} : { phone: phone.replace(/\\D/g, '') }),
  name, ['f' + no]: n,
});
export default defineMigration({ description: 'a schedule of the campaign', steps: [merge({
  into: 'contacts',
  from: { ${SOURCES.map((name) => `${name}: { map }`).join(', ')} },
  identity: [({ email }) => email, ({ phone }) => phone],
  onConflict: '${onConflict}',
  source: '${legacy}',
})] });
`;

/** Every collection counts by itself: the same `_id`s are different people. */
function idOf({ ids }: MergeSchedule, at: number): unknown {
  if (ids === 'string') return `id-${at}`;
  return ids === 'int' ? at : new ObjectId(at.toString(16).padStart(24, '5'));
}

/** The same address and number, as different people type them. */
const spelt = ({ mail, phone, no }: Drawn): Document => ({
  ...(mail === null ? {} : { mail: no % 2 ? `P${mail}@X.test` : `p${mail}@x.test` }),
  ...(phone === null ? {} : { phone: no % 3 ? `+${phone}` : `(${phone})` }),
});

function documentOf(one: Known): Document {
  const { collection, no, n, id, mail, phone } = one;
  const common = { _id: id, no, n, name: `name ${no % 4}` };
  if (collection !== 'contacts') return { ...common, ...spelt(one) };
  return {
    ...common,
    ...(mail === null ? {} : { email: `p${mail}@x.test` }),
    ...(phone === null ? {} : { phone: String(phone) }),
  };
}

async function setStage(schedule: MergeSchedule, server: CampaignServer, main: string): Promise<Stage> {
  const name = `merge_${schedule.seed}_${randomBytes(3).toString('hex')}`;
  const db = server.client.db(name);
  const counts = new Map<string, number>();
  const known = schedule.documents.map((one): Known => {
    const at = counts.get(one.collection) ?? 0;
    counts.set(one.collection, at + 1);
    return { ...one, id: idOf(schedule, at), n: one.no, isDeleted: false };
  });
  for (const collection of ['contacts', ...SOURCES]) {
    await db.createCollection(collection);
    const own = known.filter((one) => one.collection === collection).map(documentOf);
    if (own.length > 0) await db.collection(collection).insertMany(own);
  }
  const cwd = await mkdtemp(join(tmpdir(), 'godwit-campaign-'));
  await mkdir(join(cwd, 'scripts/migrations'), { recursive: true });
  await writeFile(join(cwd, 'scripts/migrations/m1.mjs'), sourceOf(schedule));
  return { schedule, db, at: { uri: server.uriOf(name), cwd, main }, known, violations: [], timeline: [] };
}

/** The application: it edits what is no key, inserts newcomers and doubles of others, deletes those that join nobody. */
async function load({ schedule, db, known }: Stage): Promise<void> {
  const dice = diceFrom(schedule.seed + 7_000_000);
  const { kind, writes } = schedule.load;
  for (let count = 0; count < writes; count += 1) {
    // Most of it beside the run: what comes before the plan is like everything else.
    if (count === Math.floor(writes / 5)) await until(async () => (await stateOf({ db })) !== undefined, PLANNED_MS);
    const what = kind === 'all' ? dice.pick(['edits', 'inserts', 'deletes'] as const) : kind;
    if (what === 'edits') await edit(db, known, dice);
    else if (what === 'inserts') await insert({ schedule, db, known }, dice);
    else if (what === 'deletes') await remove(db, known, dice);
    await sleep(dice.int(0, 40));
  }
}

const isSource = ({ collection, isDeleted }: Known): boolean => collection !== 'contacts' && !isDeleted;

async function edit(db: Db, known: readonly Known[], dice: Dice): Promise<void> {
  const open = known.filter(isSource);
  if (open.length === 0) return;
  const one = dice.pick(open);
  const n = one.n + 1_000;
  // One that the run has removed is not edited.
  const { matchedCount } = await db.collection(one.collection).updateOne({ _id: one.id as ObjectId }, { $set: { n } });
  if (matchedCount === 1) one.n = n;
}

/** A newcomer of an own number, or the double of somebody by the address. Nobody joins two that were apart. */
async function insert({ schedule, db, known }: Pick<Stage, 'schedule' | 'db' | 'known'>, dice: Dice): Promise<void> {
  const no = known.length;
  const collection: Source = dice.pick(SOURCES);
  const others = known.filter(({ mail }) => mail !== null);
  const mail = others.length > 0 && dice.chance(0.4) ? (dice.pick(others).mail ?? null) : 100_000 + no;
  const one: Known = {
    collection,
    no,
    mail,
    phone: null,
    id: idOf(schedule, 10_000 + no),
    n: no,
    isDeleted: false,
  };
  await db.collection(collection).insertOne(documentOf(one));
  known.push(one);
}

/** Those that have nothing in common with anybody: whom a document joined that is gone is nobody's to say. */
async function remove(db: Db, known: readonly Known[], dice: Dice): Promise<void> {
  const alone = known.filter(
    (one) =>
      isSource(one) &&
      !known.some((other) => other !== one && one.mail !== null && other.mail === one.mail) &&
      !known.some((other) => other !== one && one.phone !== null && other.phone === one.phone),
  );
  if (alone.length === 0) return;
  const one = dice.pick(alone);
  const { deletedCount } = await db.collection(one.collection).deleteOne({ _id: one.id as ObjectId });
  one.isDeleted = deletedCount === 1;
}

const faultText = (fault: MergeFault): string =>
  fault.kind === 'kill-time' ? `killed after ${fault.ms} ms` : `${fault.kind} at ${fault.point}:${fault.hit}`;

interface How {
  readonly fault?: MergeFault | undefined;
  readonly env?: NodeJS.ProcessEnv;
  readonly until?: Promise<unknown>;
}

/** One start. @param how `until`: it follows the application until this is over, and is then told to stop */
async function start(stage: Stage, verb: 'run' | 'rollback' | 'verify', { fault, env = {}, until }: How = {}) {
  const { schedule, at, timeline, violations } = stage;
  const { batchSize, workers, leaseMs } = schedule;
  const args = {
    run: ['run', 'm1', '--batch-size', String(batchSize), '--workers', String(workers), ...(until ? ['--follow'] : [])],
    rollback: ['rollback', 'm1', '--workers', String(workers)],
    verify: ['verify', 'm1'],
  }[verb];
  const faultEnv =
    fault && fault.kind !== 'kill-time' ? { GODWIT_FAULT: `${fault.point}:${fault.hit}:${fault.kind}` } : {};
  const child = startCommand([...args, '--progress', 'none', '--json'], {
    ...at,
    env: { GODWIT_TEST: '1', GODWIT_LEASE_MS: String(leaseMs), ...faultEnv, ...env },
  });
  const limit = setTimeout(() => {
    violations.push(`${verb} went on for ${patient(HANGS_MS) / 1_000} s`);
    child.kill('SIGKILL');
  }, patient(HANGS_MS));
  const killer = fault?.kind === 'kill-time' ? setTimeout(() => child.kill('SIGKILL'), fault.ms) : undefined;
  const stop = async (): Promise<void> => {
    await sleep(FOLLOWS_MS);
    child.kill('SIGTERM');
  };
  // Its own failure is told by who waits for it.
  void until?.then(stop, stop);
  const { code, signal, stdout, stderr } = await finished(child);
  clearTimeout(limit);
  clearTimeout(killer);
  timeline.push(
    `${verb}${fault ? ` (${faultText(fault)})` : ''}: ${code ?? signal} ${stdout.slice(0, 600)} ${code ? stderr.slice(0, 600) : ''}`,
  );
  return { code, json: code === null || stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>) };
}

const stateOf = async ({ db }: Pick<Stage, 'db'>): Promise<string | undefined> =>
  (await db.collection('migrations').findOne({ current: true }))?.['state'];

async function forwards(stage: Stage, loading: Promise<void>): Promise<boolean> {
  const { schedule, violations } = stage;
  const hasLoad = schedule.load.kind !== 'none';
  for (const fault of schedule.faults)
    if ((await stateOf(stage)) !== 'completed')
      await start(stage, 'run', { fault, ...(hasLoad ? { until: loading } : {}) });
  if (hasLoad) await start(stage, 'run', { until: loading });
  await loading;
  for (let count = 0; count < MAX_STARTS; count += 1) {
    if ((await stateOf(stage)) === 'completed') return true;
    const { code } = await start(stage, 'run');
    if (code !== 0 && code !== null) violations.push(`run ended with ${code} without a fault`);
  }
  violations.push(`no end within ${MAX_STARTS} starts`);
  return false;
}

/** Numbers of the documents that are the same as each, by plain search. */
function groupsOf(known: readonly Known[]): Map<number, Set<number>> {
  const groups = new Map(known.map(({ no }) => [no, new Set([no])]));
  const join = (a: number, b: number): void => {
    const [one, other] = [groups.get(a), groups.get(b)];
    if (!one || !other || one === other) return;
    for (const no of other) {
      one.add(no);
      groups.set(no, one);
    }
  };
  for (const a of known)
    for (const b of known)
      if ((a.mail !== null && a.mail === b.mail) || (a.phone !== null && a.phone === b.phone)) join(a.no, b.no);
  return groups;
}

async function lookAtDone(stage: Stage): Promise<void> {
  const { schedule, db, known, violations } = stage;
  const contacts = await db.collection('contacts').find().toArray();
  const noteOf = (collection: unknown, id: unknown): string => `${collection}/${JSON.stringify(id)}`;
  const places = new Map<string, Document[]>();
  for (const contact of contacts)
    for (const { collection, id } of (contact['_legacy'] ?? []) as Document[]) {
      const note = noteOf(collection, id);
      places.set(note, [...(places.get(note) ?? []), contact]);
    }
  const wanted = known.filter((one) => one.collection !== 'contacts' && !one.isDeleted);
  const homes = new Map<number, Document>();
  for (const one of wanted) {
    const found = places.get(noteOf(one.collection, one.id)) ?? [];
    const [home] = found;
    if (found.length !== 1 || !home)
      violations.push(`wanted ${one.collection} ${one.no} in one contact, found ${found.length}`);
    else if (home[`f${one.no}`] !== one.n)
      violations.push(`wanted ${one.n} of ${one.collection} ${one.no}, found ${home[`f${one.no}`]}`);
    if (home) homes.set(one.no, home);
  }
  for (const one of known)
    if (one.collection === 'contacts') homes.set(one.no, contacts.find(({ no }) => no === one.no) ?? {});
  const named = [...places.keys()].length;
  if (named !== wanted.length) violations.push(`wanted ${wanted.length} documents named, found ${named}`);
  const groups = groupsOf(known);
  for (const one of wanted) {
    const home = JSON.stringify(homes.get(one.no)?.['_id']);
    for (const no of groups.get(one.no) ?? [])
      if (homes.has(no) && JSON.stringify(homes.get(no)?.['_id']) !== home)
        violations.push(`wanted ${one.no} and ${no} to be one, found them apart`);
    const strangers = wanted.filter(
      ({ no }) => !groups.get(one.no)?.has(no) && JSON.stringify(homes.get(no)?.['_id']) === home,
    );
    for (const { no } of strangers) violations.push(`wanted ${one.no} and ${no} apart, found them one`);
  }
  await lookAtSources(stage, schedule.legacy);
  const verified = await start(stage, 'verify');
  if (verified.code !== 0) violations.push('verify finds something');
}

/** Every source document as the application has written it, but for what the run has made of it. */
async function lookAtSources({ db, known, violations }: Stage, legacy: MergeSchedule['legacy']): Promise<void> {
  for (const name of SOURCES) {
    const own = known.filter((one) => one.collection === name && !one.isDeleted);
    const wanted = legacy === 'remove' ? [] : own.map(documentOf);
    const found = await db.collection(name).find().sort({ no: 1 }).toArray();
    const unmarked = found.map(({ _mergedInto, ...rest }) => rest);
    if (JSON.stringify(unmarked) !== JSON.stringify(wanted))
      violations.push(`wanted ${wanted.length} of ${name} as they were written, found ${found.length}, or others`);
    const marks = found.filter((one) => '_mergedInto' in one).length;
    if (marks !== (legacy === 'mark' ? wanted.length : 0)) violations.push(`found ${marks} of ${name} marked`);
  }
}

const NAMES = ['contacts', ...SOURCES];
const hashes = (db: Db): Promise<unknown[]> => Promise.all(NAMES.map((name) => hashOf(db, name)));

async function back(stage: Stage, contactsBefore: unknown): Promise<void> {
  const { schedule, db, violations } = stage;
  const point = diceFrom(schedule.seed + 9_000_000).pick(['after-read', 'after-audit', 'after-data', 'after-commit']);
  if (schedule.ending === 'rollback-killed')
    await start(stage, 'rollback', { env: { GODWIT_FAULT: `rollback:${point}:2:kill` } });
  for (let count = 0; count < MAX_STARTS && (await stateOf(stage)) !== 'rolled-back'; count += 1)
    await start(stage, 'rollback');
  const [contacts] = await hashes(db);
  if (contacts !== contactsBefore) violations.push('the contacts are not as before');
  await lookAtSources(stage, 'keep');
  // Those of a planner that died before its run was there go by themselves, a day later.
  const runs = await db.collection('migrations').distinct('_id');
  const rows = await db.collection<{ run: unknown }>('migrations_idmap').countDocuments({ run: { $in: runs } });
  if (rows > 0) violations.push(`${rows} rows of the id map are left`);
}

export async function playMerge(
  schedule: MergeSchedule,
  { server, main }: { readonly server: CampaignServer; readonly main: string },
): Promise<PlayedMerge> {
  const startedAt = performance.now();
  const stage = await setStage(schedule, server, main);
  const { db, violations, timeline, at } = stage;
  const [contacts] = await hashes(db);
  const loading = load(stage);
  try {
    if (await forwards(stage, loading)) {
      for (const broken of [...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))])
        violations.push(broken);
      await lookAtDone(stage);
      if (schedule.ending !== 'complete') await back(stage, contacts);
    }
  } catch (error) {
    violations.push(`not played to its end: ${error instanceof Error ? error.stack : String(error)}`);
  } finally {
    await loading.catch(() => undefined);
    await db.dropDatabase();
    await rm(at.cwd, { recursive: true, force: true });
  }
  return { schedule, violations, timeline, seconds: (performance.now() - startedAt) / 1_000 };
}
