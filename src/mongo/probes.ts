/** Small questions to a server, for `doctor`. All of them only read. */
import type { Db, MongoClient } from 'mongodb';
import { codeOf } from './server-errors.js';
import type { Fact } from './server-facts.js';

const FORBIDDEN = 13;

/** True when the node that answers may be written to. */
export async function isPrimaryReached(client: MongoClient): Promise<boolean> {
  return (await client.db('admin').command({ hello: 1 }))['isWritablePrimary'] === true;
}

/** Median time in ms from a ping to its answer. */
export async function measureRoundTrip(client: MongoClient, pings: number): Promise<number> {
  const times: number[] = [];
  for (let ping = 0; ping < pings; ping += 1) {
    const sent = performance.now();
    await client.db('admin').command({ ping: 1 });
    times.push(performance.now() - sent);
  }
  return times.sort((a, b) => a - b)[Math.floor(pings / 2)] ?? 0;
}

/** The version whose features are switched on: `6.0`. */
export async function readFeatureCompatibility(client: MongoClient): Promise<Fact<string>> {
  try {
    const answer = await client.db('admin').command({ getParameter: 1, featureCompatibilityVersion: 1 });
    const { version } = answer['featureCompatibilityVersion'] as { version: string };
    return { known: true, value: version };
  } catch (error) {
    if (codeOf(error) === FORBIDDEN) return { known: false, needs: 'getParameter (role clusterMonitor)' };
    throw error;
  }
}

/** Names of all collections, or the right that is missing. */
export async function listNames(db: Db): Promise<Fact<readonly string[]>> {
  try {
    const listed = await db.listCollections({}, { nameOnly: true }).toArray();
    return { known: true, value: listed.map(({ name }) => name).sort() };
  } catch (error) {
    if (codeOf(error) === FORBIDDEN)
      return { known: false, needs: `listCollections on ${db.databaseName} (role read)` };
    throw error;
  }
}
