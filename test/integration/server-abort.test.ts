/** Statements that abort the server itself are never sent. A server of its own, since the others' would die with it. */
import { serialize } from 'bson';
import { MongoClient } from 'mongodb';
import { expect, test } from 'vitest';
import { startEmbedded } from '../../src/embedded/start.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { withDatabase } from '../support/database.js';
import { makeMigration } from '../support/project.js';
import { rawInsert } from '../support/raw-insert.js';

test('a forced rollback leaves a nested object whose names were doubled since: MongoDB 6.0.5 aborts over it', async () => {
  await using server = await startEmbedded({});
  const uri = withDatabase(server.uri, 'abort');
  const client = await new MongoClient(uri).connect();
  const people = client.db('abort').collection<{ _id: number }>('people');
  const session = await openSession({
    cwd: await makeMigration('(doc) => ({ ...doc, o: { pad: doc.o.pad, q: 1 } })'),
    uri,
  });
  try {
    // Large enough that the server writes a diff of the nested object instead of the whole document.
    const rest = { big: 'b'.repeat(900), o: { pad: 'p'.repeat(300), aa: 7 } };
    await people.insertOne({ _id: 1, ...rest });
    expect((await startRun(session, 'm1').result).state).toBe('completed');
    await people.deleteOne({ _id: 1 });
    const doubled = Buffer.from(serialize({ _id: 1, ...rest, o: { ...rest.o, xx: 2 } }));
    doubled.fill('a', doubled.indexOf('xx'), doubled.indexOf('xx') + 2);
    await rawInsert(uri, 'abort', 'people', [doubled]);
    const back = await startRollback(session, 'm1', { onConflict: 'force' }).result;
    expect([back.state, back.conflicts, back.conflictList[0]?.fields]).toEqual(['rolled-back', 1, ['o']]);
    const [now] = await people.find({}, { raw: true }).toArray();
    expect(doubled.equals(now as unknown as Buffer)).toBe(true);
  } finally {
    await closeSession(session);
    await client.close();
  }
});
