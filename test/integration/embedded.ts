/** Embedded servers, those who start them, and what is left of both. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MongoClient } from 'mongodb';
import { afterEach, beforeEach, expect } from 'vitest';
import { until } from '../support/crash.js';

const fixture = fileURLToPath(new URL('../fixtures/embedded-parent.mjs', import.meta.url));

/** A zombie (its parent has not asked yet) is as good as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return process.platform !== 'linux';
  }
}

export async function withClient<T>(uri: string, work: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 5_000 });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** A folder for each test, removed after it. */
export function useFolder(): () => string {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'godwit-test-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  return () => folder;
}

export interface Parent {
  readonly parent: ChildProcess;
  /** Of its server. */
  readonly pid: number;
  readonly folder: string;
}

/** A process that has started an embedded server. */
export async function startParent(mode: 'stay' | 'leave'): Promise<Parent> {
  const parent: ChildProcess = spawn(process.execPath, [fixture, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (!parent.stdout) throw new Error('no stdout');
  const [line] = await once(createInterface(parent.stdout), 'line');
  const { pid, folder } = JSON.parse(String(line));
  return { parent, pid: Number(pid), folder: String(folder) };
}

export async function expectNothingLeft({ pid, folder }: Parent): Promise<void> {
  await until(() => !isAlive(pid) && !existsSync(folder));
  expect({ mongod: isAlive(pid), folder: existsSync(folder) }).toEqual({ mongod: false, folder: false });
}
