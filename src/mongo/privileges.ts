/** What the connected user may do, as the server lists it; it needs no right to ask. */
import type { Document, MongoClient } from 'mongodb';

/** One entry of `authenticatedUserPrivileges`. */
export interface Privilege {
  readonly resource: {
    /** '' means any. Missing for the cluster. */
    readonly db?: string;
    /** '' means any but the system's. */
    readonly collection?: string;
    readonly anyResource?: boolean;
  };
  readonly actions: readonly string[];
}

/** What a run does on the database of the documents and on the one of its state. */
export const NEEDED_ACTIONS = [
  'find',
  'insert',
  'update',
  'remove',
  'createCollection',
  'createIndex',
  'killCursors',
] as const;

/** Privileges of the logged-in users, roles resolved; null when nobody is logged in. */
export async function readPrivileges(client: MongoClient): Promise<readonly Privilege[] | null> {
  const status: Document = await client.db('admin').command({ connectionStatus: 1, showPrivileges: true });
  const info = status['authInfo'] as { authenticatedUsers: unknown[]; authenticatedUserPrivileges: Privilege[] };
  return info.authenticatedUsers.length === 0 ? null : info.authenticatedUserPrivileges;
}

/** The privilege covers the collection; '' asks for every collection of the database. */
function covers({ resource }: Privilege, db: string, collection: string): boolean {
  if (resource.anyResource) return true;
  if (resource.db === undefined || resource.collection === undefined) return false;
  return [db, ''].includes(resource.db) && [collection, ''].includes(resource.collection);
}

/** The actions that no privilege grants; `collection` '' means on every collection. */
export function missingActions(
  privileges: readonly Privilege[],
  db: string,
  collection = '',
  needed: readonly string[] = NEEDED_ACTIONS,
): string[] {
  const granted = new Set(privileges.filter((one) => covers(one, db, collection)).flatMap(({ actions }) => actions));
  return needed.filter((action) => !granted.has(action));
}

/** Collections that are named by a privilege and for which nothing is missing, by name. */
export function namedCollections(privileges: readonly Privilege[], db: string): string[] {
  const named = privileges.flatMap(({ resource }) =>
    resource.db === db && resource.collection ? [resource.collection] : [],
  );
  return [...new Set(named)].filter((name) => missingActions(privileges, db, name).length === 0).sort();
}
