/** A server with access control, and users on it. */
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll } from 'vitest';
import { type EmbeddedServer, startEmbedded } from '../../src/embedded/start.js';

const ROOT = { user: 'root', password: 'root-of-the-tests' };

export interface AuthServer {
  /** Connection string of the root user. */
  rootUri(): string;
  /** Makes a user of one database, with one role on it. @returns its connection string, with the database */
  addUser(database: string, user: string, password: string, role: string): Promise<string>;
}

/** Starts the server before the tests of a file, stops it at the end. */
export function useAuthServer(): AuthServer {
  let server: EmbeddedServer | undefined;
  beforeAll(async () => {
    server = await startEmbedded({ auth: ROOT });
  });
  afterAll(() => server?.stop());
  const started = (): EmbeddedServer => {
    if (!server) throw new Error('wanted to be called inside a test or a hook');
    return server;
  };
  return {
    rootUri: () => started().rootUri,
    async addUser(database, user, password, role) {
      await using client = await new MongoClient(started().rootUri).connect();
      await client.db(database).command({ createUser: user, pwd: password, roles: [{ role, db: database }] });
      return started()
        .uri.replace('mongodb://', `mongodb://${user}:${encodeURIComponent(password)}@`)
        .replace('/?', `/${database}?`);
    },
  };
}
