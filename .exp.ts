import { MongoClient } from 'mongodb';
import { spawnSync } from 'node:child_process';
import { startEmbedded } from './src/embedded/start.ts';
const server = await startEmbedded();
const client = await new MongoClient(server.uri).connect();
const db = client.db('x'); const c = db.collection('people');
await c.insertMany(Array.from({ length: 3000 }, (_, _id) => ({ _id, first: 'F' + _id, last: 'L', n: _id % 1000 === 7 ? 'abc' : String(_id) })) as never);
const uri = server.uri.replace('/?', '/x?');
const before = (await db.command({ dbHash: 1, collections: ['people'] })).collections;
for (const args of [['run', 'p1', '--dry-run'], ['run', 'p1'], ['run', 'p1', '--max-failures', '10'], ['status', 'p1'], ['verify', 'p1'], ['audit', 'p1', '--id', '3'], ['rollback', 'p1'], ['run', 'p1','--max-failures', '10', '--batch-size', '100'], ['rollback', 'p1']]) {
  const r = spawnSync('node', ['dist/cli/main.js', ...args, '--cwd', '/tmp/pp', '--progress', 'none'], { encoding: 'utf8', env: { ...process.env, MONGODB_URI: uri } });
  console.log('$ godwit', args.join(' '), '→', r.status, '\n' + r.stdout.slice(0, 2600) + r.stderr.slice(0, 1500));
  if (args[0] === 'run' && r.status === 4) console.log(await c.findOne({ _id: 5 } as never), await c.findOne({ _id: 7 } as never));
}
console.log(JSON.stringify(before) === JSON.stringify((await db.command({ dbHash: 1, collections: ['people'] })).collections));
await client.close(); await server.stop(); process.exit(0);
