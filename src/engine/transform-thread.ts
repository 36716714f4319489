/** A thread that transforms: loads the migration for itself, and does what the runner's own thread would do. */
import { Console } from 'node:console';
import { workerData } from 'node:worker_threads';
import { storedDocument } from '../domain/stored-document.js';
import { GodwitError } from '../errors.js';
import { loadMigration, locateIn } from '../migration/load.js';
import { tablesOf } from '../mongo/lookups.js';
import { applyTransform } from './apply-transform.js';
import { answerOf, documentsIn, type ThreadAnswer, type ThreadFacts, type ThreadTask } from './thread-task.js';

// Standard output is the command's own.
globalThis.console = new Console(process.stderr);

const facts = workerData as ThreadFacts;
const loading = loadMigration(facts);
// Told by the first task: a thread that dies of it would take the runner with it.
loading.catch(() => undefined);

export default async function transform({ step: index, documents, found }: ThreadTask): Promise<ThreadAnswer> {
  const loaded = await loading;
  if (loaded.checksum !== facts.checksum)
    throw new GodwitError('GODWIT_CHECKSUM', `wanted ${facts.id} as the runner has loaded it, found it changed`);
  const step = loaded.units[index];
  if (step?.kind !== 'transform')
    throw new GodwitError('GODWIT_CHECKSUM', `wanted a transform as step ${index + 1}, found ${step?.kind ?? 'none'}`);
  const raws = Object.fromEntries(Object.entries(found).map(([name, bytes]) => [name, documentsIn(bytes)]));
  const transformer = { fn: step.up, locate: locateIn(loaded), timeoutMs: facts.timeoutMs };
  const stored = documentsIn(documents).map(storedDocument);
  return answerOf(applyTransform(stored, transformer, tablesOf(step.lookup, raws)));
}
