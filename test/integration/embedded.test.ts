import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MongoClient } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findMongod } from '../../src/embedded/find-mongod.js';
import { type EmbeddedServer, startEmbedded } from '../../src/embedded/start.js';

const fixture = fileURLToPath(new URL('../fixtures/embedded-parent.mjs', import.meta.url));

/** A zombie (its parent has not asked yet) is as good as gone. */
function isAlive(pid: number): boolean {
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

async function withClient<T>(uri: string, work: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 5_000 });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

describe('an embedded server', () => {
  let server: EmbeddedServer | undefined;
  let scratch: string;
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'godwit-test-'));
  });
  afterEach(async () => {
    await server?.stop();
    server = undefined;
    await rm(scratch, { recursive: true, force: true });
  });

  it('answers as the primary of a replica set and takes a transaction', async () => {
    server = await startEmbedded();
    const { uri, setName } = server;
    expect(uri).toMatch(/^mongodb:\/\/127\.0\.0\.1:\d+\/\?replicaSet=godwit-[0-9a-f]{8}&directConnection=true$/);
    await withClient(uri, async (client) => {
      const hello = await client.db('admin').command({ hello: 1 });
      expect(hello).toMatchObject({ isWritablePrimary: true, setName });
      const birds = client.db('embedded').collection('birds');
      await client.withSession((session) =>
        session.withTransaction(async () => {
          await birds.insertOne({ name: 'godwit' }, { session });
          await birds.insertOne({ name: 'curlew' }, { session });
        }),
      );
      expect(await birds.countDocuments()).toBe(2);
    });
  });

  it('takes another port when somebody was quicker, and mongod aborted as it was about to listen', async () => {
    const { path } = await findMongod();
    const once = join(scratch, 'once');
    const binary = join(scratch, 'mongod');
    const lines = [
      '#!/bin/sh',
      `case "$*" in *--logpath*) if mkdir '${once}' 2>/dev/null; then`,
      '  while [ "$1" != --logpath ]; do shift; done',
      '  echo "Error listening for new connections: Address already in use" >> "$2"; kill -ABRT $$',
      'fi;; esac',
      `exec '${path}' "$@"`,
    ];
    await writeFile(binary, `${lines.join('\n')}\n`, { mode: 0o755 });
    server = await startEmbedded({ find: { env: { ...process.env, GODWIT_MONGOD: binary } } });
    expect(existsSync(once)).toBe(true);
    await withClient(server.uri, async (client) => {
      expect(await client.db('admin').command({ hello: 1 })).toMatchObject({ isWritablePrimary: true });
    });
  });

  it('is gone with its folder when stop() has resolved, however often it is called', async () => {
    const { stop, pid, folder, port } = await startEmbedded();
    expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
    await Promise.all([stop(), stop()]);
    expect([isAlive(pid), existsSync(folder)]).toEqual([false, false]);
    await stop();
    expect(existsSync(join(tmpdir(), `mongodb-${port}.sock`))).toBe(false);
  });

  it('is a standalone when asked for one', async () => {
    server = await startEmbedded({ replicaSet: false });
    const hello = await withClient(server.uri, (client) => client.db('admin').command({ hello: 1 }));
    expect(hello).toMatchObject({ isWritablePrimary: true });
    expect(hello['setName']).toBeUndefined();
    expect(server.uri).not.toContain('replicaSet');
  });

  it('refuses a client without the password when access control is on, and lets root in', async () => {
    server = await startEmbedded({ auth: { user: 'root', password: 'p@ss/w:rd' } });
    const list = (client: MongoClient) => client.db('embedded').listCollections().toArray();
    await expect(withClient(server.uri, list)).rejects.toThrow(/requires authentication/);
    expect(await withClient(server.rootUri, list)).toEqual([]);
  });

  it('has three members when asked, and a new primary after the first was killed', async () => {
    server = await startEmbedded({ members: 3 });
    const { members, uri } = server;
    await withClient(uri, async (client) => {
      const birds = client.db('embedded').collection('birds');
      await birds.insertOne({ name: 'godwit' }, { writeConcern: { w: 3 } });
      const { primary } = await client.db('admin').command({ hello: 1 });
      const lost = members.find((member) => primary === `127.0.0.1:${member.port}`);
      if (lost) process.kill(lost.pid, 'SIGKILL');
      // the driver retries once, and may pick the lost server again: ask until the new primary answers
      const found = () => birds.findOne({ name: 'godwit' }).then((bird) => bird?.['name']);
      await expect.poll(() => found().catch(() => undefined), { timeout: 20_000 }).toBe('godwit');
      await birds.insertOne({ name: 'curlew' }, { writeConcern: { w: 'majority' } });
    });
  });

  it.each([{}, { auth: { user: 'root', password: 'secret' } }])(
    "keeps the caller's data folder, and finds its data again on another port (%o)",
    async (access) => {
      const dbPath = join(scratch, 'kept');
      const before = await startEmbedded({ ...access, dbPath });
      await withClient(before.rootUri, (client) =>
        client.db('embedded').collection('birds').insertOne({ name: 'knot' }),
      );
      await before.stop();
      expect([isAlive(before.pid), existsSync(before.folder), existsSync(dbPath)]).toEqual([false, false, true]);
      server = await startEmbedded({ ...access, dbPath });
      const count = await withClient(server.rootUri, (client) =>
        client.db('embedded').collection('birds').countDocuments(),
      );
      expect(count).toBe(1);
    },
  );

  it('leaves nothing behind and shows the log when mongod refuses its arguments', async () => {
    vi.stubEnv('TMPDIR', scratch);
    const failing = startEmbedded({ args: ['--noSuchOption'] });
    await expect(failing).rejects.toMatchObject({
      code: 'GODWIT_UNEXPECTED',
      message: expect.stringContaining('noSuchOption'),
    });
    expect(await readdir(scratch)).toEqual([]);
    vi.unstubAllEnvs();
  });
});

describe('the process that started an embedded server', () => {
  async function startParent(mode: 'stay' | 'leave') {
    const parent: ChildProcess = spawn(process.execPath, [fixture, mode], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (!parent.stdout) throw new Error('no stdout');
    const [line] = await once(createInterface(parent.stdout), 'line');
    const { pid, folder } = JSON.parse(String(line));
    return { parent, pid: Number(pid), folder: String(folder) };
  }

  async function expectNothingLeft(pid: number, folder: string): Promise<void> {
    const until = Date.now() + 15_000;
    while ((isAlive(pid) || existsSync(folder)) && Date.now() < until) await sleep(20);
    expect({ mongod: isAlive(pid), folder: existsSync(folder) }).toEqual({ mongod: false, folder: false });
  }

  it.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)('leaves no mongod and no folder after %s', async (signal) => {
    const { parent, pid, folder } = await startParent('stay');
    expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
    parent.kill(signal);
    await expectNothingLeft(pid, folder);
  });

  it('ends by itself without stop(), and leaves nothing', async () => {
    const { parent, pid, folder } = await startParent('leave');
    if (parent.exitCode === null) await once(parent, 'exit');
    expect(parent.exitCode).toBe(0);
    await expectNothingLeft(pid, folder);
  });
});
