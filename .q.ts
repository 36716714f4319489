import { spawnSync } from 'node:child_process';
import { MongoClient } from 'mongodb';
import { generated } from './bench/documents.js';
import { Ground } from './bench/ground.js';
import { CONTESTANTS } from './bench/contestants.js';
const N = 50_000;
const ground = await Ground.start(N, generated());
const client = await new MongoClient(ground.uri).connect();
for (const args of [[], ['--workers', '3'], ['--workers', '4']]) {
  await ground.reset();
  const c = CONTESTANTS.find((c) => c.name === 'transform')!.command(ground.uri);
  const t0 = Date.now();
  const r = spawnSync('node', [...c.args, ...args], { cwd: c.cwd, env: { ...process.env, ...c.env }, encoding: 'utf8' });
  const wall = Date.now() - t0;
  const j = JSON.parse(r.stdout);
  const run = (await client.db('bench').collection('migrations').findOne({})) as any;
  const h = run.history; const at = (i: number) => h[i].at.getTime();
  console.log(args.join(' '), 'wall', wall, 'seconds', j.seconds, 'batches', j.batches, 'redone', j.conflictsRetried, h.map((x: any, i: number) => `${x.to} +${i ? at(i) - at(i - 1) : 0}`).join(' '), 'start→planned', at(0) - t0, 'end', t0 + wall - at(h.length - 1));
  console.log('   ', Object.entries(j.phases).map(([k, v]: any) => `${k} ${v.p50}/${v.p90} ${v.share}`).join('  '), j.bottleneck);
}
await client.close(); await ground.stop(); process.exit(0);
