/** What a schedule is played on: a database, a project with the migration, the application's model, and a timeline. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Db } from 'mongodb';
import { rawInsert } from '../support/raw-insert.js';
import { initialDocuments } from './documents.js';
import { COLLECTION, LOOKED_UP, sourceOf, TEAMS, validatorOf } from './migration.js';
import { Model } from './model.js';
import type { Schedule } from './schedule.js';
import type { CampaignServer } from './server.js';

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
  readonly db: Db;
  readonly uri: string;
  readonly cwd: string;
  readonly initial: readonly Buffer[];
  readonly model: Model;
  /** UUID, options and indexes of the collection as they were. */
  readonly frame: string;
  readonly violations: Violation[];
  readonly timeline: string[];
  /** Point × action, as often as it was really hit. */
  readonly hits: string[];
  /** Raised once a run has ended over its budget, as its error says. */
  maxFailures: number;
  note(text: string): void;
  violate(invariant: string, expected: unknown, found: unknown): void;
}

const COLLATION = { locale: 'en', strength: 2 };

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
  const teams = TEAMS.map((name, _id) => ({ _id: _id as unknown as never, name }));
  await db.collection(LOOKED_UP).insertMany(teams);
}

/** Everything about the collection that a run must leave alone, as one text. */
export async function frameOf(db: Db): Promise<string> {
  const [listed] = await db.listCollections({ name: COLLECTION }, { nameOnly: false }).toArray();
  const indexes = await db.collection(COLLECTION).indexes();
  return JSON.stringify({ ...(listed as object), indexes });
}

const PORTION = 1_000;
/** Violations of one invariant in the timeline, at most. */
const MAX_TOLD = 4;

async function fill(server: CampaignServer, database: string, documents: readonly Buffer[]): Promise<void> {
  for (let from = 0; from < documents.length; from += PORTION)
    await rawInsert(server.uri, database, COLLECTION, documents.slice(from, from + PORTION));
}

export async function setStage(schedule: Schedule, server: CampaignServer, main: string): Promise<Stage> {
  const name = `c_${schedule.seed}_${randomBytes(3).toString('hex')}`;
  const db = server.client.db(name);
  await createTarget(db, schedule);
  const initial = initialDocuments(schedule);
  await fill(server, name, initial);
  const cwd = await mkdtemp(join(tmpdir(), 'godwit-campaign-'));
  await mkdir(join(cwd, 'scripts/migrations'), { recursive: true });
  await writeFile(join(cwd, 'scripts/migrations/m1.mjs'), sourceOf(schedule));
  const startedAt = performance.now();
  const [violations, timeline, hits]: [Violation[], string[], string[]] = [[], [], []];
  return {
    ...{ schedule, server, main, db, cwd, initial, violations, timeline, hits },
    uri: server.uriOf(name),
    model: new Model(initial),
    frame: await frameOf(db),
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

export async function clearStage({ db, cwd }: Stage): Promise<void> {
  await db.dropDatabase();
  await rm(cwd, { recursive: true, force: true });
}
