/**
 * `doctor`: can this machine, with this user, migrate this database? It only reads, and says `null` for what such a
 * user can't see instead of guessing.
 */
import { GodwitError } from '../errors.js';
import { formatBytes, formatDuration } from '../kernel/units.js';
import { requireTransactions, type ServerFacts } from '../mongo/connect.js';
import { missingActions, namedCollections, type Privilege, readPrivileges } from '../mongo/privileges.js';
import { isPrimaryReached, listNames, measureRoundTrip, readFeatureCompatibility } from '../mongo/probes.js';
import { translateServerError } from '../mongo/server-errors.js';
import {
  type Fact,
  readDiskSpace,
  readOplogWindow,
  readRoles,
  readTransactionLifetime,
} from '../mongo/server-facts.js';
import { type Session, VERSION } from './session.js';

export interface Check {
  /** Stable: `node`, `clock`, `rights`, … */
  readonly name: string;
  /** Null: not known, which is no failure. */
  readonly ok: boolean | null;
  readonly found: string;
  /** What to do, one thing a line. */
  readonly next?: string;
}

export interface DoctorResult {
  readonly checks: readonly Check[];
  /** No check is false. The command's exit code is 6 otherwise. */
  readonly ok: boolean;
}

type Finding = Omit<Check, 'name'>;

/** The version that the tests run on. */
const TESTED_SERVER = '6.0.5';
/** Furthest that two clocks may be apart, in ms. */
const MAX_CLOCK_OFFSET_MS = 2_000;
/** A batch holds its documents for two round trips: from here on, in ms, that is worth saying. */
const SLOW_ROUND_TRIP_MS = 40;
/** A disk with less free than this, in bytes, is full for a run, whose audit and oplog grow on it. */
const LEAST_FREE_BYTES = 1024 ** 3;
const PINGS = 5;

const finding = (ok: boolean | null, found: string, next?: string): Finding =>
  next === undefined || ok === true ? { ok, found } : { ok, found, next };

const unseen = (needs: string): Finding => finding(null, 'not to be seen by this user', `it needs ${needs}`);

/** True when a version like `20.19.1` is at least `20.19`. */
function isAtLeast(version: string, least: string): boolean {
  const [parts, wanted] = [version.split('.').map(Number), least.split('.').map(Number)];
  const at = wanted.findIndex((part, index) => (parts[index] ?? 0) !== part);
  return at === -1 || (parts[at] ?? 0) > (wanted[at] ?? 0);
}

/** The Node.js that runs this. */
export const judgeNode = (version: string): Finding =>
  finding(isAtLeast(version, '20.19'), version, 'install Node.js 20.19 or newer');

/** The server's version. */
export function judgeServer(version: string): Finding {
  if (!isAtLeast(version, '6.0')) return finding(false, version, 'MongoDB 6.0 or newer is needed');
  return finding(true, `${version} (${version === TESTED_SERVER ? 'tested' : `tests run on ${TESTED_SERVER}`})`);
}

function judgeTopology(server: ServerFacts): Finding {
  try {
    requireTransactions(server);
    return finding(true, `replica set of ${server.hosts.length}: ${server.hosts.join(', ')}`);
  } catch (error) {
    if (!(error instanceof GodwitError)) throw error;
    return finding(false, error.message, error.next.slice(0, 2).join('\n'));
  }
}

/** How far this machine's clock is ahead of the server's, in ms. */
export function judgeClock(offsetMs: number): Finding {
  const size = formatDuration(Math.abs(offsetMs));
  if (Math.abs(offsetMs) <= MAX_CLOCK_OFFSET_MS) return finding(true, `${size} apart from the server's`);
  const where = offsetMs > 0 ? 'ahead of' : 'behind';
  return finding(
    false,
    `this machine's clock is ${size} ${where} the server's`,
    "set both by NTP; runs go on safely, since leases and times are the server's",
  );
}

async function judgePrimary({ client, server }: Session): Promise<Finding> {
  const isReached = await isPrimaryReached(client);
  const advice = 'name the replica set in the URI (replicaSet=…) and leave out directConnection=true';
  if (server.topology === 'standalone')
    return finding(isReached, isReached ? 'the server takes writes' : 'the server takes no writes');
  return finding(isReached, isReached ? 'reached' : 'the node that answers is not the primary', advice);
}

/** The median time to the server and back, in ms. */
export function judgeRoundTrip(ms: number): Finding {
  if (ms < SLOW_ROUND_TRIP_MS) return finding(true, `${ms.toFixed(1)} ms (median of ${PINGS})`);
  return finding(
    true,
    `${Math.round(ms)} ms (median of ${PINGS}): every batch holds its documents for ${Math.round(2 * ms)} ms or more`,
  );
}

async function judgeFeatures({ client }: Session): Promise<Finding> {
  const fact = await readFeatureCompatibility(client);
  if (!fact.known) return unseen(fact.needs);
  const next = `once every member is on it, in mongosh:  db.adminCommand({ setFeatureCompatibilityVersion: '6.0' })`;
  return finding(isAtLeast(fact.value, '6.0'), fact.value, next);
}

async function judgeUser({ client }: Session): Promise<Finding> {
  const { user, roles } = await readRoles(client);
  if (user === null) return finding(true, 'nobody is logged in');
  return finding(true, `${user}: ${roles.join(', ') || 'no roles'}`);
}

async function judgeCollections({ db }: Session): Promise<Finding> {
  const names = await listNames(db);
  if (names.known) return finding(true, `${names.value.length} in ${db.databaseName}`);
  return finding(false, `they cannot be listed`, `it needs ${names.needs}`);
}

/** What is missing on one database; named collections alone may be enough, which only their owner knows. */
function judgeDatabase(privileges: readonly Privilege[], db: string): Finding {
  const missing = missingActions(privileges, db);
  if (missing.length === 0) return finding(true, `all that a run needs on ${db}`);
  const named = namedCollections(privileges, db);
  const grant = `in mongosh, as an administrator:  db.grantRolesToUser('USER', [{ role: 'readWrite', db: '${db}' }])`;
  if (named.length > 0) return finding(null, `on ${db} only these collections: ${named.join(', ')}`, grant);
  return finding(false, `missing on ${db}: ${missing.join(', ')}`, grant);
}

async function judgeRights({ client, db, state }: Session): Promise<Finding> {
  const privileges = await readPrivileges(client);
  if (!privileges) {
    const { known } = await listNames(db);
    if (known) return finding(true, 'access control is off: everybody may do everything');
    return finding(false, 'access control is on, and nobody is logged in', 'give a user and a password in MONGODB_URI');
  }
  const databases = [...new Set([db.databaseName, state.db.databaseName])];
  const findings = databases.map((name) => judgeDatabase(privileges, name));
  const worst = findings.find(({ ok }) => ok === false) ?? findings.find(({ ok }) => ok === null);
  return { ...(worst ?? { ok: true }), found: findings.map(({ found }) => found).join('; ') };
}

async function judgeState({ state, config }: Session): Promise<Finding> {
  const { prefix } = config.settings.state;
  const names = await listNames(state.db);
  if (!names.known) return unseen(names.needs);
  const own = names.value.filter((name) => name === prefix || name.startsWith(`${prefix}_`));
  if (own.length === 0)
    return finding(true, `none yet: the first run creates ${prefix} and its like in ${state.db.databaseName}`);
  return finding(true, `${own.join(', ')} in ${state.db.databaseName}, nobody else's`);
}

/** Seconds after which the server ends a transaction that nobody goes on with. It looks every half of that time. */
function judgeLifetime(fact: Fact<number>): Finding {
  if (!fact.known) return unseen(fact.needs);
  const [from, to] = [fact.value, Math.round(fact.value * 1.5)];
  return finding(
    true,
    `${from} s: the server ends the transaction of a runner that vanished after ${from} to ${to} s, if no other runner does so before`,
  );
}

async function judgeOplog({ client, server }: Session): Promise<Finding> {
  if (server.topology !== 'replica-set') return finding(null, 'there is none to be read here');
  const fact = await readOplogWindow(client);
  if (!fact.known) return unseen(fact.needs);
  const { hours, maxBytes } = fact.value;
  return finding(true, `spans ${formatDuration(hours * 3_600_000)} at present, in ${formatBytes(maxBytes)} at most`);
}

/** A database that holds nothing yet is told no disk; `admin` always holds something. */
async function judgeDisk({ client, db }: Session): Promise<Finding> {
  const own = await readDiskSpace(db);
  const fact = own.known ? own : await readDiskSpace(client.db('admin'));
  if (!fact.known)
    return finding(
      null,
      'the server does not tell',
      `it tells once ${db.databaseName} holds a collection, or with the role clusterMonitor`,
    );
  const { freeBytes, totalBytes } = fact.value;
  const found = `${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}`;
  return finding(
    freeBytes >= LEAST_FREE_BYTES,
    found,
    'make room: a server whose disk is full stops; `godwit run ID --dry-run` estimates what a run needs',
  );
}

/** In the order of the report. */
const CHECKS: readonly (readonly [string, (session: Session) => Finding | Promise<Finding>])[] = [
  ['node', () => judgeNode(process.versions.node)],
  ['godwit', () => finding(true, VERSION)],
  ['server', ({ server }) => judgeServer(server.version)],
  ['feature-compatibility', judgeFeatures],
  ['topology', ({ server }) => judgeTopology(server)],
  ['replica-set', ({ server }) => (server.setName ? finding(true, server.setName) : finding(null, 'none'))],
  ['primary', judgePrimary],
  ['clock', ({ server }) => judgeClock(server.clockOffsetMs)],
  ['round-trip', async ({ client }) => judgeRoundTrip(await measureRoundTrip(client, PINGS))],
  ['user', judgeUser],
  ['collections', judgeCollections],
  ['rights', judgeRights],
  ['state', judgeState],
  ['transaction-lifetime', async ({ client }) => judgeLifetime(await readTransactionLifetime(client))],
  ['oplog', judgeOplog],
  ['disk', judgeDisk],
];

/** A question that the server does not answer is a finding too. */
async function findOut(judge: (session: Session) => Finding | Promise<Finding>, session: Session): Promise<Finding> {
  try {
    return await judge(session);
  } catch (error) {
    const { message, next } = translateServerError(error);
    return next.length > 0 ? finding(false, message, next.join('\n')) : finding(false, message);
  }
}

/** Looks at everything, one question after the other. Writes nothing, and throws for no answer of the server. */
export async function doctor(session: Session): Promise<DoctorResult> {
  const checks: Check[] = [];
  for (const [name, judge] of CHECKS) checks.push({ name, ...(await findOut(judge, session)) });
  return { checks, ok: checks.every(({ ok }) => ok !== false) };
}

/** Errors of connecting that are what doctor was asked for. */
const NOT_CONNECTED: readonly string[] = ['GODWIT_NO_PRIMARY', 'GODWIT_AUTH', 'GODWIT_SERVER_VERSION'];

const ON_SERVER = CHECKS.map(([name]) => name).filter((name) => name !== 'node' && name !== 'godwit');

/**
 * The same list where no connection came about: what this machine is, why, and that the rest could not be looked at.
 *
 * @returns null for an error that says nothing of the server
 */
export function doctorWithout(error: unknown): DoctorResult | null {
  if (!(error instanceof GodwitError) || !NOT_CONNECTED.includes(error.code)) return null;
  const next = error.next.filter((line) => !line.startsWith('godwit doctor')).join('\n');
  const server = finding(false, error.message, next === '' ? undefined : next);
  const checks = [
    { name: 'node', ...judgeNode(process.versions.node) },
    { name: 'godwit', ...finding(true, VERSION) },
    ...ON_SERVER.map((name) => ({
      name,
      ...(name === 'server' ? server : finding(null, 'not looked at: no connection')),
    })),
  ];
  return { checks, ok: false };
}
