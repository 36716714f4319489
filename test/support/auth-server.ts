/** The shared server with access control, and users on it. */
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll } from 'vitest';
import { takeShared } from './servers.js';
import type { Keeper } from './warden.js';

export interface AuthServer {
  /** Connection string of the root user. */
  rootUri(): string;
  /** Makes a user of one database, with one role on it. @returns its connection string, with the database */
  addUser(database: string, user: string, password: string, role: string): Promise<string>;
}

/** Users are of one database: other files are at the same server. */
export function useAuthServer(): AuthServer {
  let server: Keeper | undefined;
  beforeAll(async () => {
    server = await takeShared('auth');
  });
  afterAll(() => server?.stop());
  const started = (): Keeper['facts'] => {
    if (!server) throw new Error('to be called inside a test or a hook');
    return server.facts;
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
