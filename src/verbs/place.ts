/**
 * Which kind of database a session is at: production, however it is reached, once it was used as that. Known from the
 * configuration's environments, from what is recorded beside the state, or from what somebody says (`--env-kind`).
 */
import type { Config } from '../config/load.js';
import {
  type DatabaseIdentity,
  ENVIRONMENT_KINDS,
  type EnvironmentKind,
  type EnvironmentRecord,
  isOf,
  type PlaceKind,
} from '../domain/place.js';
import { whoami } from '../engine/owner.js';
import { GodwitError } from '../errors.js';
import { addressesOf, normalAddress } from '../mongo/addresses.js';
import { type Connection, databaseOf } from '../mongo/connect.js';
import { findEnvironmentRecord, storeEnvironmentRecord } from '../mongo/environment-record.js';
import { readReplicaSetId, readServerTime } from '../mongo/server-facts.js';
import type { State } from '../mongo/state.js';

export interface Place {
  readonly kind: PlaceKind;
  /** Of the configuration. */
  readonly environment: string | null;
  /** To be recorded at the first use that writes; null: nothing is. */
  readonly toRecord: Pick<EnvironmentRecord, 'environmentKind' | 'environment'> | null;
}

type Environments = Config['settings']['environments'];

const clash = (a: string, b: string, database: string): GodwitError =>
  new GodwitError('GODWIT_CONFIG', `the environments "${a}" and "${b}" are one database: ${database} on one server`, {
    next: ['give each environment a database of its own', 'or leave one of them out of the configuration'],
  });

/** True where the environment's URI leads to this server, and to this database there. */
function leadsHere(environment: Environments[string], config: Config, { server, db }: Connection): boolean {
  const { uri } = environment;
  if (uri === undefined || uri === '') return false;
  const own = new Set([...server.hosts, ...addressesOf(config.uri ?? '')].map(normalAddress));
  if (!addressesOf(uri).some((address) => own.has(normalAddress(address)))) return false;
  try {
    return databaseOf(uri, environment.db ?? config.settings.db) === db.databaseName;
  } catch {
    return false;
  }
}

/** Names of the environments that lead here. @throws GodwitError GODWIT_CONFIG where two do */
function environmentsHere(config: Config, connection: Connection): string[] {
  const { environments } = config.settings;
  const names = Object.keys(environments).filter((name) => {
    const environment = environments[name];
    return environment !== undefined && (name === config.env || leadsHere(environment, config, connection));
  });
  const [first, second] = names;
  if (first !== undefined && second !== undefined) throw clash(first, second, connection.db.databaseName);
  return names;
}

async function identityOf({ client, server, db }: Connection): Promise<DatabaseIdentity> {
  return { replicaSetId: await readReplicaSetId(client), setName: server.setName, database: db.databaseName };
}

function requireKind(asked: string | undefined): EnvironmentKind | undefined {
  const kind = ENVIRONMENT_KINDS.find((known) => known === asked);
  if (asked === undefined || kind) return kind;
  throw new GodwitError('GODWIT_USAGE', `--env-kind is one of ${ENVIRONMENT_KINDS.join(', ')}, not "${asked}"`, {
    next: ['--env-kind staging', '--env-kind production'],
  });
}

function requireNoContradiction(asked: EnvironmentKind | undefined, known: EnvironmentKind, why: string): void {
  if (asked === undefined || asked === known) return;
  throw new GodwitError('GODWIT_USAGE', `--env-kind ${asked} contradicts what is known: ${why} ${known}`, {
    next: ['leave --env-kind out'],
  });
}

/**
 * @param asked the value of `--env-kind`
 * @throws GodwitError GODWIT_CONFIG where two environments are this database, GODWIT_USAGE where `asked` contradicts
 */
export async function placeOf(
  config: Config,
  connection: Connection,
  state: State,
  asked: string | undefined,
): Promise<Place> {
  const said = requireKind(asked);
  const { environments } = config.settings;
  const database = connection.db.databaseName;
  const [environment = null] = environmentsHere(config, connection);
  const found = await findEnvironmentRecord(state, database);
  const record = found && isOf(found, await identityOf(connection)) ? found : null;
  const other = record?.environment ?? null;
  if (environment !== null && other !== null && other !== environment && Object.hasOwn(environments, other))
    throw clash(environment, other, database);
  const isProduction =
    record?.environmentKind === 'production' ||
    (environment !== null && environments[environment]?.production === true);
  const known = isProduction ? 'production' : environment !== null || record ? 'staging' : undefined;
  if (known) requireNoContradiction(said, known, record ? `${database} is recorded as` : `"${environment}" is`);
  const kind = known ?? said;
  if (!kind) return { kind: connection.server.isLocal ? 'local' : 'remote', environment, toRecord: null };
  const isNews = record?.environmentKind !== kind || (environment !== null && other !== environment);
  return { kind, environment, toRecord: isNews ? { environmentKind: kind, environment } : null };
}

/** Called before anything is written to the database. */
export async function recordPlace(
  connection: Connection & { readonly state: State; readonly place: Place },
): Promise<void> {
  const { toRecord } = connection.place;
  if (!toRecord) return;
  const said = { ...toRecord, by: whoami(), at: await readServerTime(connection.client) };
  await storeEnvironmentRecord(connection.state, await identityOf(connection), said);
}
