/** What the server tells of runs, whatever their runners say: history, sums, audit entries, open transactions. */
import { readFileSync } from 'node:fs';
import type { Binary, Db } from 'mongodb';
import { type AuditDocument, decodeEntries, joinImages } from '../../src/domain/audit-entry.js';
import { type Chunk, sumOfCounters } from '../../src/domain/chunk.js';
import { EDGES, type RunDocument } from '../../src/domain/run.js';
import { sentinelsOf } from './crash.js';

const runsOf = (db: Db): Promise<RunDocument[]> => db.collection<RunDocument>('migrations').find().toArray();

/** The run that counts. Throws when there is none. */
export async function currentRun(db: Db): Promise<RunDocument> {
  const run = await db.collection<RunDocument>('migrations').findOne({ current: true });
  if (!run) throw new Error('wanted a current run, found none');
  return run;
}

/** I10: every transition is an edge of the table, begins where the one before ended, and is not earlier. */
export async function brokenHistory(db: Db): Promise<string[]> {
  const broken: string[] = [];
  for (const { _id, history, state, startedAt, finishedAt } of await runsOf(db)) {
    let at: string | null = null;
    let time = startedAt.getTime();
    for (const step of history) {
      if (step.from !== at) broken.push(`${_id}: ${step.from} -> ${step.to} after ${at}`);
      if (step.from !== null && !EDGES.some(({ from, to }) => from === step.from && to === step.to))
        broken.push(`${_id}: ${step.from} -> ${step.to} is no edge`);
      // The first moment is the client's estimate of the server's clock.
      if (step.from !== null && at !== 'planned' && step.at.getTime() < time)
        broken.push(`${_id}: ${step.to} is earlier than ${at}`);
      at = step.to;
      time = step.at.getTime();
    }
    if (at !== state) broken.push(`${_id}: state ${state} after ${at}`);
    if ((state === 'completed' || state === 'rolled-back') && !finishedAt) broken.push(`${_id}: ${state} has no end`);
  }
  return broken;
}

/** I15: the figures of each run are those of its chunks. */
export async function brokenSums(db: Db): Promise<string[]> {
  const broken: string[] = [];
  for (const { _id, counters } of await runsOf(db)) {
    const chunks = await db.collection<Chunk>('migrations_chunks').find({ run: _id }).toArray();
    const sum = sumOfCounters(chunks);
    for (const [name, value] of Object.entries(sum))
      if (counters[name as keyof typeof counters] !== value)
        broken.push(`${_id}: ${name} is ${counters[name as keyof typeof counters]}, its chunks have ${value}`);
  }
  return broken;
}

/** Each audit entry as `_id key:SHA-256 of the after image`: the same however the documents fell into batches. */
export async function auditEntries(db: Db): Promise<string[]> {
  const entries: string[] = [];
  const batches = db.collection<AuditDocument>('migrations_audit').find({ direction: 'up', n: { $gt: 0 } });
  for await (const batch of batches) {
    if (batch.parts !== 1) throw new Error('wanted batches of one audit document');
    for (const { before, hash } of decodeEntries(joinImages([batch])))
      entries.push(`${before.key}:${hash.toString('hex')}`);
  }
  return entries.sort();
}

/** Transactions that runners of this database have left open on the server. */
export async function openTransactions(db: Db): Promise<number> {
  const own = new Set((await runsOf(db)).flatMap((run) => run.ownSessions.map((id) => id.toString('hex'))));
  const operations = await db.client
    .db('admin')
    .aggregate<{ lsid?: { id: Binary } }>([
      { $currentOp: { idleSessions: true } },
      { $match: { transaction: { $exists: true }, lsid: { $exists: true } } },
    ])
    .toArray();
  return operations.filter(({ lsid }) => lsid && own.has(lsid.id.toString('hex'))).length;
}

/** True once SIGSTOP has taken hold of the process (Linux). */
export const isStopped = (pid: number | undefined): boolean =>
  /\) T /.test(readFileSync(`/proc/${pid ?? 0}/stat`, 'utf8'));

/** Kills the sentinels that watch this process, so that nobody but the next runner frees what it holds. */
export function killSentinelsOf(runner: number | undefined): void {
  for (const pid of sentinelsOf(runner ?? 0)) process.kill(pid, 'SIGKILL');
}
