/** Who is measured: each a process of its own, on a collection that is as it was for everybody else. */
import { fileURLToPath } from 'node:url';
import type { Command } from './measure.js';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const GODWIT = path('../dist/cli/main.js');

export interface Contestant {
  readonly name: string;
  readonly what: string;
  /** Goes on with what this one has left, in the same round. */
  readonly after?: string;
  /** More documents take it too long: its rate is compared. */
  readonly mostDocuments?: number;
  readonly command: (uri: string) => Command;
}

const peer =
  (file: string, ...args: string[]) =>
  (uri: string): Command => ({
    args: [path(`peers/${file}`), ...args],
    cwd: path('.'),
    env: { MONGODB_URI: uri },
  });

const godwit =
  (...args: string[]) =>
  (uri: string): Command => ({
    args: [GODWIT, ...args, '--json', '--progress', 'none'],
    cwd: path('project'),
    env: { MONGODB_URI: uri },
  });

/** @throws Error when nobody is called so */
export function contestantNamed(name: string): Contestant {
  const found = CONTESTANTS.find((one) => one.name === name);
  if (!found) throw new Error(`wanted a contestant called ${name}, found none`);
  return found;
}

export const CONTESTANTS: readonly Contestant[] = [
  { name: 'hand', what: 'hand-tuned loop: 4 ranges × bulkWrite of 500, no audit', command: peer('hand.mjs', '4') },
  { name: 'sequential', what: 'bulkWrite of 500, one after the other', command: peer('hand.mjs', '1') },
  {
    name: 'naive',
    what: 'migrate-mongo: one updateOne a document',
    mostDocuments: 20_000,
    command: (uri) => ({
      args: [path('node_modules/migrate-mongo/bin/migrate-mongo.js'), 'up'],
      cwd: path('peers/migrate-mongo'),
      env: { MONGODB_URI: uri },
    }),
  },
  { name: 'mbdm', what: 'mongo-bulk-data-migration, with its backup', command: peer('mbdm.mjs') },
  { name: 'transform', what: 'Godwit, transform', command: godwit('run', 'by-transform') },
  { name: 'verify', what: 'Godwit, verify', after: 'transform', command: godwit('verify', 'by-transform') },
  { name: 'rollback', what: 'Godwit, rollback', after: 'verify', command: godwit('rollback', 'by-transform') },
  { name: 'updateMany', what: 'bare updateMany, one statement', command: peer('update-many.mjs') },
  {
    name: 'chunked',
    what: 'bare updateMany per 5,000 documents, two at a time',
    command: peer('update-many.mjs', 'chunked'),
  },
  { name: 'pipeline', what: 'Godwit, pipeline', command: godwit('run', 'by-pipeline') },
];
