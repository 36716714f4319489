/** A run that is held at a named point while something befalls its server, and how it stands afterwards. */
import type { Db } from 'mongodb';
import { expect } from 'vitest';
import { onFaultPoint } from '../../src/engine/fault-points.js';
import { type CommandResult, callCommand, runCommand, runJson } from './command.js';
import { audited, brokenInvariants, until } from './crash.js';
import { auditEntries, brokenHistory, brokenSums, isStopped } from './observe.js';
import { finished, startCommand } from './process.js';
import { makeMigration } from './project.js';
import { hashOf } from './scratch.js';

/** A mark that shows when a document was changed twice. */
const UP = "(doc) => ({ ...doc, mark: (doc.mark ?? '') + (doc.mark === 'x' ? '' : 'x') })";

/** A runner that is still there so long after the trouble hangs, in ms. */
const HANGS_MS = 40_000;

/** Documents of a test, and of one batch. */
export const COUNT = 120;
export const BATCH = 20;

/** One worker, so that the nth hit of a point is that of the nth batch. */
export const RUN = ['run', 'm1', '--batch-size', String(BATCH), '--workers', '1', '--progress', 'plain', '--json'];

/** The seven points of a batch, in the order of the write path. */
export const BATCH_POINTS = [
  'batch:before-read',
  'batch:after-read',
  'batch:after-audit',
  'batch:after-checkpoint',
  'batch:after-data',
  'batch:before-commit',
  'batch:after-commit',
] as const;

export interface Place {
  readonly db: Db;
  readonly cwd: string;
  readonly uri: string;
}

/** Fills the collection `people` and writes a project whose migration marks each document. */
export async function prepare(place: { readonly db: Db; readonly uri: string }, up = UP): Promise<Place> {
  await place.db
    .collection<{ _id: number }>('people')
    .insertMany(Array.from({ length: COUNT }, (_, _id) => ({ _id, n: _id, tail: { deep: [_id] } })));
  return { db: place.db, uri: place.uri, cwd: await makeMigration(up) };
}

export interface Told extends CommandResult {
  /** The one document on stdout. */
  readonly json: Record<string, unknown>;
  /** From the end of the trouble to the end of the process, in seconds. */
  readonly seconds: number;
}

export interface HeldOptions {
  /** `point:hit`, the third batch when only a point is given. */
  readonly at: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly args?: readonly string[];
  /** Where there is much to do: after how long the runner hangs, in ms. */
  readonly hangsMs?: number;
}

/** `point`: its third hit, `point:n` its nth. */
function momentOf(at: string): { readonly point: string; readonly hit: number } {
  const [room, name, hit = '3'] = at.split(':');
  return { point: `${room}:${name}`, hit: Number(hit) };
}

const toldBy = (result: CommandResult, startedAt: number): Told => ({
  ...result,
  json: JSON.parse(result.stdout || '{}') as Record<string, unknown>,
  seconds: (performance.now() - startedAt) / 1_000,
});

/**
 * Runs the command in this process, holds it at the point, lets `trouble` happen, and lets it go on. Its timers and its
 * connections live while it is held: where they must not, and where a sentinel is wanted, it is `processHeldAt`.
 *
 * @param trouble is given what the run has written to stderr until now, to wait for what it says
 */
export async function heldAt(
  place: Place,
  options: HeldOptions,
  trouble: (stderr: () => string) => Promise<unknown>,
): Promise<Told> {
  const moment = momentOf(options.at);
  let hits = 0;
  let release: () => void = () => undefined;
  const released = new Promise<void>((done) => {
    release = done;
  });
  const reached = new Promise<void>((done) => {
    onFaultPoint(async (point) => {
      if (point !== moment.point) return;
      hits += 1;
      if (hits !== moment.hit) return;
      done();
      await released;
    });
  });
  const { end, signal, stderr } = callCommand(options.args ?? RUN, {
    cwd: place.cwd,
    uri: place.uri,
    ...(options.env ? { env: options.env } : {}),
  });
  try {
    await Promise.race([reached, end]);
    await trouble(stderr);
  } finally {
    release();
  }
  const startedAt = performance.now();
  // One that hangs is ended while the test can still show what it said.
  const limit = setTimeout(() => signal('SIGTERM'), options.hangsMs ?? HANGS_MS);
  const result = await end.finally(() => {
    clearTimeout(limit);
    onFaultPoint(undefined);
  });
  return toldBy(result, startedAt);
}

/** The same of a process of its own, which is stopped (SIGSTOP) meanwhile. */
export async function processHeldAt(
  place: Place,
  options: HeldOptions,
  trouble: (stderr: () => string) => Promise<unknown>,
): Promise<Told> {
  const { point, hit } = momentOf(options.at);
  const env = { ...options.env, GODWIT_TEST: '1', GODWIT_FAULT: `${point}:${hit}:stop` };
  const child = startCommand(options.args ?? RUN, { cwd: place.cwd, uri: place.uri, env });
  const end = finished(child);
  let said = '';
  child.stderr?.on('data', (part: Buffer) => {
    said += part.toString();
  });
  try {
    await until(() => child.exitCode !== null || isStopped(child.pid));
    await trouble(() => said);
  } finally {
    child.kill('SIGCONT');
  }
  const startedAt = performance.now();
  const limit = setTimeout(() => child.kill('SIGKILL'), options.hangsMs ?? HANGS_MS);
  return toldBy(await end.finally(() => clearTimeout(limit)), startedAt);
}

/** Code of the error that the command told; null when it told none. */
export const errorCode = ({ json }: { readonly json: Record<string, unknown> }): string | null =>
  (json['error'] as { code: string } | undefined)?.code ?? null;

/** What an undisturbed run leaves in the collection and in the audit. */
export interface Twin {
  readonly before: string | undefined;
  readonly hash: string | undefined;
  readonly entries: readonly string[];
}

export async function runTwin(place: Place): Promise<Twin> {
  const before = await hashOf(place.db, 'people');
  expect((await runCommand(RUN, place)).code).toBe(0);
  return { before, hash: await hashOf(place.db, 'people'), entries: await auditEntries(place.db) };
}

/** Batches whole and in order, history and sums right: at any time. */
export async function expectWhole(db: Db): Promise<void> {
  expect([...(await brokenInvariants(db)), ...(await brokenHistory(db)), ...(await brokenSums(db))]).toEqual([]);
}

/**
 * The run is complete, as if nothing had been; and its rollback leaves what was there before.
 *
 * @param insertsKnown false where the change stream could not see everything, so that nobody may call it identical
 */
export async function expectAsUndisturbed(place: Place, twin: Twin, insertsKnown = true): Promise<void> {
  await expectWhole(place.db);
  expect(await audited(place.db)).toBe(COUNT);
  expect(await hashOf(place.db, 'people')).toBe(twin.hash);
  expect(await auditEntries(place.db)).toEqual(twin.entries);
  const back = await runJson(['rollback', 'm1'], place);
  expect([back.code, back.json]).toMatchObject([
    0,
    { restored: COUNT, conflicts: 0, insertsKnown, identical: insertsKnown },
  ]);
  expect(await hashOf(place.db, 'people')).toBe(twin.before);
}

/** The run ended with this error, which says what to do next; what is there is whole. */
export async function expectEnded(place: Place, told: Told, code: string, exit = 1): Promise<void> {
  expect([told.code, errorCode(told)], told.stdout + told.stderr).toEqual([exit, code]);
  expect((told.json['error'] as { next: string[] }).next.length).toBeGreaterThan(0);
  // Its figures are those of the last time when they could be stored.
  expect([...(await brokenInvariants(place.db)), ...(await brokenHistory(place.db))]).toEqual([]);
}
