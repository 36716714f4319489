import { MongoClient } from 'mongodb';
import { spawn, spawnSync } from 'node:child_process';
import { startEmbedded } from './src/embedded/start.ts';
const server = await startEmbedded();
const client = await new MongoClient(server.uri).connect();
const db = client.db('x'); const c = db.collection('people');
await c.insertMany(Array.from({ length: 100 }, (_, _id) => ({ _id, first: 'F' + _id, last: 'L', n: String(_id) })) as never);
const uri = server.uri.replace('/?', '/x?');
for (const args of [['--version'], ['list'], ['run', 'p1'], ['verify', 'p1'], ['rollback', 'p1'], ['run', 't1'], ['rollback', 't1']]) {
  const r = spawnSync('bash', ['-c', `time node ${process.env.NODE_EXTRA ?? ''} dist/cli/main.js ${args.join(' ')} --cwd /tmp/pp --progress none > /dev/null`], { encoding: 'utf8', env: { ...process.env, MONGODB_URI: uri } });
  console.log(args.join(' '), r.stderr.replace(/\n/g, ' '));
}
const r = spawnSync('bash', ['-c', `node --cpu-prof --cpu-prof-dir=/tmp/prof dist/cli/main.js run t1 --cwd /tmp/pp --progress none > /dev/null`], { encoding: 'utf8', env: { ...process.env, MONGODB_URI: uri } });
await client.close(); await server.stop(); process.exit(0);
