/** What other test files show of embedded servers, too, and what hardly ever happens. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MongoClient } from 'mongodb';
import { afterEach, describe, expect, it } from 'vitest';
import { findMongod } from '../../src/embedded/find-mongod.js';
import { type EmbeddedServer, startEmbedded } from '../../src/embedded/start.js';
import { expectNothingLeft, startParent, useFolder, withClient } from './embedded.js';

describe('an embedded server', () => {
  let server: EmbeddedServer | undefined;
  const scratch = useFolder();
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  it('takes another port when somebody was quicker, and mongod aborted as it was about to listen', async () => {
    const { path } = await findMongod();
    const mark = join(scratch(), 'once');
    const binary = join(scratch(), 'mongod');
    const lines = [
      '#!/bin/sh',
      `case "$*" in *--logpath*) if mkdir '${mark}' 2>/dev/null; then`,
      '  while [ "$1" != --logpath ]; do shift; done',
      '  echo "Error listening for new connections: Address already in use" >> "$2"; kill -ABRT $$',
      'fi;; esac',
      `exec '${path}' "$@"`,
    ];
    await writeFile(binary, `${lines.join('\n')}\n`, { mode: 0o755 });
    server = await startEmbedded({ find: { env: { ...process.env, GODWIT_MONGOD: binary } } });
    expect(existsSync(mark)).toBe(true);
    await withClient(server.uri, async (client) => {
      expect(await client.db('admin').command({ hello: 1 })).toMatchObject({ isWritablePrimary: true });
    });
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
});

describe('the process that started an embedded server', () => {
  it('ends by itself without stop(), and leaves nothing', async () => {
    const started = await startParent('leave');
    const { parent } = started;
    if (parent.exitCode === null) await once(parent, 'exit');
    expect(parent.exitCode).toBe(0);
    await expectNothingLeft(started);
  });
});
