/**
 * Why no primary was found: the driver only says that its time was over. The addresses of the URI are asked one by one,
 * without what the URI says of the replica set, and without a password: `hello` needs none.
 */
import { MongoClient } from 'mongodb';
import { GodwitError } from '../errors.js';
import { addressesOf, normalAddress } from './addresses.js';

/** How long one address may take to answer, in ms, and how many are asked. */
const PROBE_MS = 1_500;
const MAX_PROBED = 3;

interface Answer {
  readonly address: string;
  readonly setName?: string;
  readonly hosts?: readonly string[];
}

const optionsOf = (uri: string): URLSearchParams => new URLSearchParams(uri.split('?')[1] ?? '');

/** The same options for one address alone. */
function directUri(uri: string, address: string): string {
  const options = optionsOf(uri);
  for (const name of [...options.keys()])
    if (/^(replicaSet|directConnection|auth.*)$/i.test(name)) options.delete(name);
  options.set('directConnection', 'true');
  return `mongodb://${address}/?${options}`;
}

async function ask(uri: string, address: string): Promise<Answer | null> {
  const client = new MongoClient(directUri(uri, address), {
    serverSelectionTimeoutMS: PROBE_MS,
    connectTimeoutMS: PROBE_MS,
  });
  try {
    const { setName, hosts } = await client.db('admin').command({ hello: 1 });
    return { address, ...(setName ? { setName } : {}), ...(hosts ? { hosts } : {}) };
  } catch {
    return null;
  } finally {
    await client.close();
  }
}

const wrongSet = (wanted: string, { address, setName }: Answer): GodwitError =>
  setName === undefined
    ? new GodwitError('GODWIT_BAD_URI', `the URI says replicaSet=${wanted}, but ${address} is in no replica set`, {
        next: ['leave replicaSet out of the URI: then godwit doctor says how to make it a replica set'],
      })
    : new GodwitError('GODWIT_BAD_URI', `the URI says replicaSet=${wanted}, but ${address} is in ${setName}`, {
        next: [`write replicaSet=${setName} in the URI`],
      });

function otherNames({ address, setName, hosts = [] }: Answer): GodwitError {
  const names = hosts.join(', ');
  return new GodwitError(
    'GODWIT_NO_PRIMARY',
    `${address} answers, but calls the members of ${setName} ${names}, and none of them can be reached by that name`,
    {
      next: [
        `make ${names} known here (DNS, or the hosts file)`,
        'or reach the primary alone: directConnection=true in the URI, without replicaSet',
      ],
    },
  );
}

const noPrimary = ({ setName }: Answer): GodwitError =>
  new GodwitError('GODWIT_NO_PRIMARY', `the members of ${setName} answer, but none of them is the primary`, {
    next: ['in mongosh:  rs.status()   says why', 'again in a moment: an election takes some seconds'],
  });

/** What a URI has to do with an unreachable server; null where nothing can be told that the driver has not said. */
export async function whyUnreachable(uri: string): Promise<GodwitError | null> {
  if (uri.startsWith('mongodb+srv:')) return null;
  const addresses = addressesOf(uri);
  const answers = await Promise.all(addresses.slice(0, MAX_PROBED).map((address) => ask(uri, address)));
  const answer = answers.find((one) => one !== null);
  if (!answer) return null;
  const wanted = optionsOf(uri).get('replicaSet');
  if (wanted !== null && wanted !== answer.setName) return wrongSet(wanted, answer);
  if (answer.setName === undefined) return null;
  const known = new Set(addresses.map(normalAddress));
  const isKnown = (answer.hosts ?? []).some((host) => known.has(normalAddress(host)));
  return isKnown ? noPrimary(answer) : otherNames(answer);
}

/** The name of a `mongodb+srv://` URI that DNS does not know; null for other errors. */
export function srvFailure(error: unknown): GodwitError | null {
  const { syscall, hostname, code } = (error ?? {}) as { syscall?: string; hostname?: string; code?: string };
  if (syscall !== 'querySrv' && syscall !== 'queryTxt') return null;
  const name = (hostname ?? '').replace('_mongodb._tcp.', '');
  if (code === 'ENOTFOUND' || code === 'ENODATA')
    return new GodwitError('GODWIT_BAD_URI', `DNS knows no servers of ${name} (no SRV record _mongodb._tcp.${name})`, {
      next: ['check the host in the mongodb+srv:// URI', 'a list of hosts begins with mongodb:// instead'],
      cause: error,
    });
  return new GodwitError('GODWIT_NO_PRIMARY', `DNS did not answer for ${name} (${code ?? 'no code'})`, {
    next: ['check the name server of this machine', 'a mongodb:// URI with the hosts needs none'],
    cause: error,
  });
}
