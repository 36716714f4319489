/**
 * What all test files share: one MongoDB (that of MONGODB_URI_TEST, else an embedded one), where each has a database of its
 * own, and the warden of the servers that are more than that (support/warden.ts).
 */
import type { TestProject } from 'vitest/node';
import { startEmbedded } from '../src/embedded/start.js';
import { Warden } from './support/warden.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Connection string of a replica set; `inject('mongoUri')`. */
    mongoUri: string;
    /** Port of the warden, on this machine. */
    wardenPort: number;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const warden = await Warden.start();
  project.provide('wardenPort', warden.port);
  const given = process.env['MONGODB_URI_TEST'];
  if (given) {
    project.provide('mongoUri', given);
    return () => warden.stop();
  }
  const server = await startEmbedded({ log: (line) => process.stderr.write(`${line}\n`) });
  project.provide('mongoUri', server.uri);
  return async () => {
    await warden.stop();
    await server.stop();
  };
}
