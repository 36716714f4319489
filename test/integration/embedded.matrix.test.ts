import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type EmbeddedServer, startEmbedded } from '../../src/embedded/start.js';
import { matrix } from '../support/tiers.js';
import { expectNothingLeft, isAlive, startParent, useFolder, withClient } from './embedded.js';

describe('an embedded server', () => {
  let server: EmbeddedServer | undefined;
  const scratch = useFolder();
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  it('answers as the primary of a replica set, takes a transaction, and is gone when stop() has resolved', async () => {
    const { uri, setName, stop, pid, folder, port } = await startEmbedded();
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
    expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
    // However often it is called.
    await Promise.all([stop(), stop()]);
    expect([isAlive(pid), existsSync(folder)]).toEqual([false, false]);
    await stop();
    expect(existsSync(join(tmpdir(), `mongodb-${port}.sock`))).toBe(false);
  });

  it.each(matrix([{ auth: { user: 'root', password: 'secret' } }, {}]))(
    "keeps the caller's data folder, and finds its data again on another port (%o)",
    async (access) => {
      const dbPath = join(scratch(), 'kept');
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
    vi.stubEnv('TMPDIR', scratch());
    const failing = startEmbedded({ args: ['--noSuchOption'] });
    await expect(failing).rejects.toMatchObject({
      code: 'GODWIT_UNEXPECTED',
      message: expect.stringContaining('noSuchOption'),
    });
    expect(await readdir(scratch())).toEqual([]);
    vi.unstubAllEnvs();
  });
});

describe('the process that started an embedded server', () => {
  it.each(matrix(['SIGKILL', 'SIGINT', 'SIGTERM'] as const))(
    'leaves no mongod and no folder after %s',
    async (signal) => {
      const started = await startParent('stay');
      const { parent, pid, folder } = started;
      expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
      parent.kill(signal);
      await expectNothingLeft(started);
    },
  );
});
