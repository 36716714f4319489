/** An application beside: 100 updates a second of single documents, whatever the others do, and how long each takes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient, ObjectId } from 'mongodb';
import { percentile } from '../src/domain/phases.js';

const EVERY_MS = 10;

/** In ms. */
export interface Waits {
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
}

export interface Latency extends Waits {
  readonly updates: number;
}

export function waitsOf(times: readonly number[]): Waits {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): number => Math.round(percentile(sorted, share) * 10) / 10;
  return { p50: at(0.5), p99: at(0.99), longest: at(1) };
}

/** @returns ends it, and gives the figures */
export async function startApplication(uri: string, count: number): Promise<() => Promise<Latency>> {
  const client = await new MongoClient(uri, { maxPoolSize: 50 }).connect();
  const contacts = client.db().collection('contacts');
  const times: number[] = [];
  const underWay = new Set<Promise<void>>();
  let isOver = false;
  const one = async (): Promise<void> => {
    const startedAt = performance.now();
    const id = new ObjectId(
      Math.floor(Math.random() * count)
        .toString(16)
        .padStart(24, '0'),
    );
    await contacts.updateOne({ _id: id }, { $inc: { visits: 1 } }, { writeConcern: { w: 'majority' } });
    times.push(performance.now() - startedAt);
  };
  // By the clock, not by answers: a wait must not hide the ones behind it.
  const beating = (async () => {
    for (let due = performance.now(); !isOver; due += EVERY_MS) {
      await sleep(Math.max(0, due - performance.now()));
      const update = one().finally(() => underWay.delete(update));
      underWay.add(update);
    }
  })();
  return async () => {
    isOver = true;
    await beating;
    await Promise.all(underWay);
    await client.close();
    return { updates: times.length, ...waitsOf(times) };
  };
}
