/** What a schedule is played on: a database, a project with the migration, the application's model, and a timeline. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Db } from 'mongodb';
import { throughProxy, Wires } from '../support/proxy.js';
import { rawInsert } from '../support/raw-insert.js';
import { initialDocuments } from './documents.js';
import type { Library } from './library.js';
import { COLLECTION, LOOKED_UP, sourceOf, validatorOf } from './migration.js';
import { Model } from './model.js';
import { isRefused, type Schedule } from './schedule.js';
import type { CampaignServer } from './server.js';
import { initialTeams, type Team } from './teams.js';

export interface Violation {
  /** I1 … I18. */
  readonly invariant: string;
  readonly expected: string;
  readonly found: string;
}

export interface Stage {
  readonly schedule: Schedule;
  readonly server: CampaignServer;
  /** The command under test: main.js of the build, or of a mutant. */
  readonly main: string;
  /** What uses the same build in a warm process. */
  readonly library: Library;
  readonly db: Db;
  /** Of the command under test: through the wires, where there are some. */
  readonly uri: string;
  readonly wires: Wires | null;
  readonly cwd: string;
  readonly initial: readonly Buffer[];
  readonly model: Model;
  /** UUID, options and indexes of the collection as they were. */
  readonly frame: string;
  readonly violations: Violation[];
  readonly timeline: string[];
  /** Point × action, as often as it was really hit. */
  readonly hits: string[];
  /** A runner has died with its sentinel, and nobody has taken its run over since. */
  isUnwatched: boolean;
  /** Raised once a run has ended over its budget, as its error says. */
  maxFailures: number;
  note(text: string): void;
  violate(invariant: string, expected: unknown, found: unknown): void;
}

/** What a view shows. */
export const BEHIND = 'behind';
const COLLATION = { locale: 'en', strength: 2 };

/** Under the name of the target, what is to be refused. */
async function createRefused(db: Db, shape: string): Promise<void> {
  const documents = Array.from({ length: 20 }, (_, n) => ({ t: new Date(n), a: `a-${n}`, n, drop: n }));
  if (shape === 'view') {
    await db.collection(BEHIND).insertMany(documents);
    await db.createCollection(COLLECTION, { viewOn: BEHIND, pipeline: [] });
    return;
  }
  await db.createCollection(
    COLLECTION,
    shape === 'capped' ? { capped: true, size: 1_000_000 } : { timeseries: { timeField: 't' } },
  );
  await db.collection(COLLECTION).insertMany(documents);
}

async function createTarget(db: Db, schedule: Schedule): Promise<void> {
  const { shape, rule } = schedule.collection;
  await db.createCollection(COLLECTION, {
    ...(shape === 'collated' ? { collation: COLLATION } : {}),
    ...(shape === 'clustered' ? { clusteredIndex: { key: { _id: 1 }, unique: true } } : {}),
    ...(rule === 'validator' ? { validator: validatorOf(schedule) } : {}),
  });
  const partialFilterExpression = { uk: { $exists: true } };
  if (rule === 'unique')
    await db.collection(COLLECTION).createIndex({ uk: 1 }, { unique: true, partialFilterExpression });
  await db.collection(COLLECTION).createIndex({ n: 1 });
}

async function createTeams(db: Db): Promise<void> {
  await db.collection<Team>(LOOKED_UP).insertMany(initialTeams());
}

/** Everything about the collection that a run must leave alone, as one text. */
export async function frameOf(db: Db): Promise<string> {
  const [listed] = await db.listCollections({ name: COLLECTION }, { nameOnly: false }).toArray();
  const indexes = listed?.type === 'view' ? [] : await db.collection(COLLECTION).indexes();
  return JSON.stringify({ ...(listed as object), indexes });
}

/** Documents of one message of 48 MB at most, and so many bytes of it, of which one document may be the most. */
const PORTION = 1_000;
const PORTION_BYTES = 16 * 1024 * 1024;
/** Violations of one invariant in the timeline, at most. */
const MAX_TOLD = 4;

async function fill(server: CampaignServer, database: string, documents: readonly Buffer[]): Promise<void> {
  const uri = await server.members.primaryUri();
  let portion: Buffer[] = [];
  let bytes = 0;
  for (const document of documents) {
    portion.push(document);
    bytes += document.length;
    if (portion.length < PORTION && bytes < PORTION_BYTES) continue;
    await rawInsert(uri, database, COLLECTION, portion);
    [portion, bytes] = [[], 0];
  }
  if (portion.length > 0) await rawInsert(uri, database, COLLECTION, portion);
}

export async function setStage(
  schedule: Schedule,
  { server, library, main }: Pick<Stage, 'server' | 'library' | 'main'>,
): Promise<Stage> {
  const name = `c_${schedule.seed}_${randomBytes(3).toString('hex')}`;
  const db = server.client.db(name);
  await createTeams(db);
  const initial = isRefused(schedule) ? [] : initialDocuments(schedule);
  if (isRefused(schedule)) await createRefused(db, schedule.collection.shape);
  else await createTarget(db, schedule);
  await fill(server, name, initial);
  const cwd = await mkdtemp(join(tmpdir(), 'godwit-campaign-'));
  await mkdir(join(cwd, 'scripts/migrations'), { recursive: true });
  await writeFile(join(cwd, 'scripts/migrations/m1.mjs'), sourceOf(schedule));
  const startedAt = performance.now();
  const wires = schedule.topology === 'proxy' ? await Wires.start(server.members.server.members[0]?.port ?? 0) : null;
  // The sentinel's own connection is another one: P12 does not hold for a machine that is cut off as a whole.
  wires?.spare('godwit-sentinel');
  const [violations, timeline, hits]: [Violation[], string[], string[]] = [[], [], []];
  return {
    ...{ schedule, server, library, main, db, cwd, initial, violations, timeline, hits, wires },
    uri: wires ? throughProxy(server.uriOf(name), wires) : server.uriOf(name),
    model: new Model(initial),
    frame: await frameOf(db),
    isUnwatched: false,
    maxFailures: schedule.settings.maxFailures,
    note: (text) => {
      timeline.push(`${((performance.now() - startedAt) / 1_000).toFixed(2).padStart(7)} s  ${text}`);
    },
    violate: (invariant, expected, found) => {
      violations.push({ invariant, expected: String(expected), found: String(found) });
      // Thousands of documents that are wrong alike are told by the first of them.
      if (violations.filter((one) => one.invariant === invariant).length > MAX_TOLD) return;
      timeline.push(`           VIOLATED ${invariant}: wanted ${expected}, found ${found}`);
    },
  };
}

export async function clearStage({ db, cwd, wires }: Stage): Promise<void> {
  await wires?.close();
  await db.dropDatabase();
  await rm(cwd, { recursive: true, force: true });
}
