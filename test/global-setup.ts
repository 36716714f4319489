/** One MongoDB for the whole suite: the one of MONGODB_URI_TEST, else an embedded one. Tests use their own database. */
import type { TestProject } from 'vitest/node';
import { startEmbedded } from '../src/embedded/start.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Connection string of a replica set; `inject('mongoUri')`. */
    mongoUri: string;
  }
}

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env['MONGODB_URI_TEST'];
  if (given) {
    project.provide('mongoUri', given);
    return undefined;
  }
  const server = await startEmbedded({ log: (line) => process.stderr.write(`${line}\n`) });
  project.provide('mongoUri', server.uri);
  return () => server.stop();
}
