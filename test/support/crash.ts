/** Killing a run again and again, and looking at what is there by a client of one's own. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from 'mongodb';
import type { CommandOptions } from './command.js';
import { finished, startCommand } from './process.js';

/** A small deterministic generator (mulberry32, public domain), so that a failing seed can be tried again. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Documents with a before image in the audit: what is committed, as the server tells it. */
export async function audited(db: Db, direction: 'up' | 'down' = 'up'): Promise<number> {
  const [sum] = await db
    .collection('migrations_audit')
    .aggregate<{ n: number }>([{ $match: { direction } }, { $group: { _id: null, n: { $sum: '$n' } } }])
    .toArray();
  return sum?.n ?? 0;
}

export interface Kill {
  /** Documents committed when the runner was dead. */
  readonly done: number;
  /** From the start of that process to its first commit, in ms; null when it was killed before. */
  readonly firstCommitMs: number | null;
  /** False when the command had ended by itself before. */
  readonly wasKilled: boolean;
}

/**
 * Starts the command and kills it with SIGKILL `waitMs` after `more` documents have been committed in this attempt (0:
 * that long after its start).
 */
export async function killAfter(
  args: readonly string[],
  options: CommandOptions,
  db: Db,
  more: number,
  waitMs: number,
  direction: 'up' | 'down' = 'up',
): Promise<Kill> {
  const before = await audited(db, direction);
  const startedAt = performance.now();
  const child = startCommand([...args, '--progress', 'none'], options);
  const end = finished(child);
  let isOver = false;
  void end.then(() => {
    isOver = true;
  });
  let firstCommitMs: number | null = null;
  for (let done = before; !isOver && done < before + more; ) {
    await sleep(5);
    done = await audited(db, direction);
    if (done > before) firstCommitMs ??= performance.now() - startedAt;
  }
  await sleep(waitMs);
  child.kill('SIGKILL');
  const { signal } = await end;
  return { done: await audited(db, direction), firstCommitMs, wasKilled: signal === 'SIGKILL' };
}

/** Process ids of the sentinels of a runner (Linux: the command line names it). */
export function sentinelsOf(runner: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`sentinel-main.js\0${runner}\0`);
      } catch {
        return false; // gone meanwhile
      }
    })
    .map(Number);
}

/** Looks again and again until it is so. */
export async function until(isTrue: () => Promise<boolean> | boolean, limitMs = 30_000): Promise<void> {
  for (const deadline = performance.now() + limitMs; !(await isTrue()); await sleep(25))
    if (performance.now() > deadline) throw new Error(`waited ${limitMs / 1_000} s in vain`);
}

/** What must hold after any number of kills: batches whole and in order, sums right, no document changed twice. */
export async function brokenInvariants(db: Db): Promise<string[]> {
  const broken: string[] = [];
  const chunks = await db.collection('migrations_chunks').find().toArray();
  for (const chunk of chunks) {
    const batches = await db
      .collection('migrations_audit')
      .find({ chunk: chunk['_id'], direction: 'up', part: 0 })
      .sort({ seq: 1 })
      .toArray();
    const seqs = batches.map((batch) => batch['seq'] as number);
    if (seqs.some((seq, at) => seq !== at + 1) || seqs.length !== chunk['seq'])
      broken.push(`I1: ${chunk['_id']} has batches ${seqs}, its seq is ${chunk['seq']}`);
    const { scanned = 0, changed = 0, ...rest } = chunk['counters'] as Record<string, number>;
    const { inserted = 0, deleted = 0, unchanged = 0, skipped = 0, failed = 0 } = rest;
    const written = changed + inserted + deleted;
    const entries = batches.reduce((sum, batch) => sum + (batch['n'] as number), 0);
    if (entries !== written) broken.push(`I1: ${chunk['_id']} changed ${written}, its audit has ${entries}`);
    if (scanned !== written + unchanged + skipped + failed) broken.push(`I15: ${chunk['_id']} does not add up`);
  }
  return broken;
}
