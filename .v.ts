import { generated } from './bench/documents.js';
import { Ground } from './bench/ground.js';
import { measure } from './bench/measure.js';
import { CONTESTANTS } from './bench/contestants.js';
const N = 50_000;
const ground = await Ground.start(N, generated());
const by = (name: string) => CONTESTANTS.find((c) => c.name === name)!;
const variants = [['hand', 'hand', {}], ['new', 'transform', {}], ['pipeline', 'pipeline', {}]] as [string, string, Record<string, string>][];
for (let round = 0; round < 2; round++) for (const [label, name, env] of variants) {
  await ground.reset();
  const c = by(name).command(ground.uri);
  const m = await measure({ ...c, env: { ...c.env, ...env } }, ground.server.pid);
  console.log(label.padEnd(14), 'wall', m.wallSeconds.toFixed(2), 'inner', m.seconds.toFixed(2), `${Math.round(N / m.seconds)}/s`, 'client', Math.round(m.clientCpuMs * 1000 / N), 'server', Math.round(m.serverCpuMs * 1000 / N), 'rss', Math.round(m.peakMb));
}
await ground.stop(); process.exit(0);
