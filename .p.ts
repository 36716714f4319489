import { generated } from './bench/documents.js';
import { Ground } from './bench/ground.js';
import { measure } from './bench/measure.js';
import { CONTESTANTS } from './bench/contestants.js';
const N = 50_000;
const ground = await Ground.start(N, generated());
const by = (name: string) => CONTESTANTS.find((c) => c.name === name)!;
for (const [label, name, args] of [['transform', process.argv[2] ?? 'transform', []]] as [string, string, string[]][]) {
  await ground.reset();
  const c = by(name).command(ground.uri);
  const m = await measure({ ...c, args: ['--cpu-prof', '--cpu-prof-dir=/tmp/prof', ...c.args, ...args] }, ground.server.pid);
  console.log(label.padEnd(12), 'wall', m.wallSeconds.toFixed(2), 'client', Math.round(m.clientCpuMs * 1000 / N), 'server', Math.round(m.serverCpuMs * 1000 / N));
}
await ground.stop(); process.exit(0);
