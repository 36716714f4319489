/** One use of Godwit against one database: configuration, connection, state. What every verb is given. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { type Config, type ConfigInput, loadConfig } from '../config/load.js';
import type { RunDocument } from '../domain/run.js';
import type { RunSettings } from '../engine/run-context.js';
import type { RunFacts } from '../engine/with-lease.js';
import { GodwitError } from '../errors.js';
import { Events } from '../events.js';
import type { LoadedMigration } from '../migration/load.js';
import { type Connection, connect } from '../mongo/connect.js';
import { findCurrentRun } from '../mongo/runs.js';
import { translateServerError } from '../mongo/server-errors.js';
import { checkState, ensureState, openState, type State } from '../mongo/state.js';
import { type Place, placeOf, recordPlace } from './place.js';

export interface SessionInput extends ConfigInput {
  /** A run is to be made: a dead network is noticed well before the lease ends. */
  readonly isForRun?: boolean;
  /** What a server is that no environment of the configuration names: `staging` or `production`. */
  readonly environmentKind?: string | undefined;
  /** For tests: the name of every command that is sent to the server. */
  readonly onCommand?: (name: string) => void;
}

export interface Session extends Connection {
  readonly config: Config;
  readonly state: State;
  readonly events: Events;
  readonly place: Place;
}

/** Part of the lease that a connection may be silent for. */
const SILENCE_SHARE = 2 / 3;
/** … but not less than this, in ms: a busy server is no dead one. */
const LEAST_SILENCE_MS = 5_000;

/** This package's version. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/**
 * `auto`: one worker more than cores, since each waits for the server for a third of its time. Measured on 2 cores, server
 * included: three are a fifth faster than two, four no faster than three, and an application beside waits as long.
 */
const AUTO_WORKERS = Math.min(4, availableParallelism() + 1);
/** As many may be asked of a run under way, whatever it was started with. */
const MOST_WORKERS = 8;

/**
 * Reads the configuration and connects.
 *
 * @throws GodwitError GODWIT_CONFIG, GODWIT_NO_URI, GODWIT_BAD_URI, GODWIT_NO_PRIMARY, GODWIT_AUTH, GODWIT_FOREIGN_STATE
 */
export async function openSession(input: SessionInput): Promise<Session> {
  const config = await loadConfig(input);
  if (!config.uri)
    throw new GodwitError(
      'GODWIT_NO_URI',
      'wanted a MongoDB URI in MONGODB_URI, --uri or an environment of the configuration, found none',
      {
        next: [
          'MONGODB_URI=mongodb://127.0.0.1:27017/crm godwit …',
          'godwit demo   needs none: it brings its own server',
        ],
      },
    );
  const socketTimeoutMs = input.isForRun
    ? Math.max(LEAST_SILENCE_MS, config.settings.leaseMs * SILENCE_SHARE)
    : undefined;
  const connection = await connect({ uri: config.uri, db: config.db, socketTimeoutMs, onCommand: input.onCommand });
  try {
    const { db: stateDb, prefix } = config.settings.state;
    const state = openState(stateDb ? connection.client.db(stateDb) : connection.db, prefix);
    await checkState(state);
    const place = await placeOf(config, connection, state, input.environmentKind);
    return { ...connection, config, state, events: new Events(), place };
  } catch (error) {
    await connection.client.close();
    throw translateServerError(error);
  }
}

/** Any error as one with a code: those of the server in words, without values or passwords. */
export const toGodwitError = translateServerError;

export const closeSession = (session: Session): Promise<void> => session.client.close();

/** Before anything is written: what the database is said to be goes on record, and what is missing of the state is made. */
export async function readyState(session: Session): Promise<void> {
  await ensureState(session.state);
  await recordPlace(session);
}

/** The run that counts for the migration. @throws GodwitError GODWIT_NOT_RUN */
export async function requireRun(session: Session, migration: string): Promise<RunDocument> {
  const run = await findCurrentRun(session.state, migration);
  if (run) return run;
  throw new GodwitError('GODWIT_NOT_RUN', `wanted a run of ${migration} in ${session.db.databaseName}, found none`, {
    next: [`godwit run ${migration} --dry-run`, 'godwit list'],
  });
}

/** Refuses a run whose audit was given up. @throws GodwitError GODWIT_PURGED */
export function requireAuditKept({ migration, purged }: RunDocument): void {
  if (!purged) return;
  throw new GodwitError(
    'GODWIT_PURGED',
    `wanted the audit of ${migration}, found it purged by ${purged.by} on ${purged.at.toISOString().slice(0, 10)} ("${purged.because}")`,
    { next: ['restore the documents from a backup', `godwit verify ${migration}   looks at what is there`] },
  );
}

/** Refuses a file that is not the one that the run began with. @throws GodwitError GODWIT_CHECKSUM */
export function requireSameFile(loaded: LoadedMigration, run: RunDocument): void {
  if (loaded.checksum === run.checksum) return;
  const known = new Map(run.files.map(({ path, sha256 }) => [path, sha256]));
  const changed = loaded.files.filter(({ path, sha256 }) => known.get(path) !== sha256).map(({ path }) => path);
  const gone = run.files.filter(({ path }) => !loaded.files.some((file) => file.path === path)).map(({ path }) => path);
  throw new GodwitError(
    'GODWIT_CHECKSUM',
    `wanted ${loaded.id} as it was when its run began (${run.checksum.slice(0, 12)}), found it changed (${loaded.checksum.slice(0, 12)}): ${[...changed, ...gone].join(', ')}`,
    {
      next: ['put the file back as it was', `godwit amend ${loaded.id} --because "…"   accepts it as it is now`],
      details: { migration: loaded.id, began: run.checksum, found: loaded.checksum, changed: [...changed, ...gone] },
    },
  );
}

export interface SettingOverrides {
  /** Fixes it: batches no longer adapt to the time for which they hold documents. */
  readonly batchSize?: number | undefined;
  readonly workers?: number | undefined;
  readonly maxFailures?: number | undefined;
  /** Documents a second, of all workers together. */
  readonly maxRate?: number | undefined;
}

/** @param overrides `isCanary`: one worker, so that it stops exactly where it was asked to; `isForwards`: bound by the window */
export function runSettings(
  config: Config,
  overrides: SettingOverrides & { readonly isCanary?: boolean; readonly isForwards?: boolean } = {},
): RunSettings {
  const { settings } = config;
  const asked = overrides.workers ?? settings.workers;
  const workers = asked === 'auto' ? AUTO_WORKERS : asked;
  return {
    batchSize: overrides.batchSize ?? settings.batch.size,
    isAdaptive: overrides.batchSize === undefined,
    targetMs: settings.batch.targetMs,
    throttle: { ...settings.throttle, probe: settings.throttle.probe ?? null, when: settings.throttle.when ?? null },
    maxRate: overrides.maxRate ?? null,
    maxBatchBytes: settings.batch.maxBytes,
    workers,
    mostWorkers: overrides.isCanary ? 1 : Math.max(workers, MOST_WORKERS),
    leaseMs: settings.leaseMs,
    outageMs: settings.outageMs,
    stallMs: settings.stallMs,
    window: overrides.isForwards ? (settings.window ?? null) : null,
    maxFailures: overrides.maxFailures ?? 0,
    transformTimeoutMs: settings.transform.timeoutMs,
  };
}

const NEVER = new AbortController().signal;

/** What the engine needs to work on a run. */
export const runFacts = (
  session: Session,
  loaded: LoadedMigration,
  settings: RunSettings,
  more: { readonly signal?: AbortSignal | undefined; readonly onSessions?: RunFacts['onSessions'] } = {},
): RunFacts => ({
  uri: session.config.uri ?? '',
  client: session.client,
  db: session.db,
  state: session.state,
  loaded,
  settings,
  events: session.events,
  signal: more.signal ?? NEVER,
  ...(more.onSessions ? { onSessions: more.onSessions } : {}),
});

/** Commit of the project's repository, if it is one. */
export async function gitCommit(cwd: string): Promise<string | null> {
  return promisify(execFile)('git', ['rev-parse', 'HEAD'], { cwd }).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  );
}
