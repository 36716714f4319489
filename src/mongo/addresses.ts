/** Addresses in a connection string, so that two of them can be told to lead to the same server. */

const DEFAULT_PORT = '27017';
const LOOPBACK = /^(127\.|localhost(:|$)|\[?::1\]?(:|$)|%2F|\/)/i;

/** As they stand there; of `mongodb+srv://` the one name, which is never a loopback. */
export function addressesOf(uri: string): string[] {
  const authority = /^mongodb(?:\+srv)?:\/\/(?:[^@/]*@)?([^/?]+)/.exec(uri)?.[1] ?? '';
  return uri.startsWith('mongodb+srv:') ? [`srv:${authority.toLowerCase()}`] : authority.split(',');
}

/** Loopback by its name: a tunnel to elsewhere is one, too, which only the server's own account tells. */
export const isLoopback = (address: string): boolean => LOOPBACK.test(address);

/** The same for the names of one address: any of loopback, with or without the usual port, whatever the case. */
export function normalAddress(address: string): string {
  if (address.startsWith('srv:')) return address;
  const [, host = address, port = DEFAULT_PORT] = /^(.*?)(?::(\d+))?$/.exec(address) ?? [];
  return `${isLoopback(host) ? 'loopback' : host.toLowerCase()}:${port}`;
}
